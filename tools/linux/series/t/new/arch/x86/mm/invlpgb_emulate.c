// SPDX-License-Identifier: GPL-2.0-only
/*
 * INVLPGB and PCID for a machine that has neither, for testing: global ASIDs
 * and the transition to them run as they would. setcpuid=pcid,419 makes the
 * kernel believe in both.
 *
 * An INVLPGB is an NMI to all other CPUs, each of which drops all of its TLB:
 * as with the instruction, interrupts that are off hold off nothing. A PCID is
 * remembered and never loaded, so that every load of CR3 drops all.
 */
#include <linux/atomic.h>
#include <linux/cpumask.h>
#include <linux/init.h>
#include <linux/mm_types.h>
#include <linux/percpu.h>
#include <linux/processor.h>

#include <asm/apic.h>
#include <asm/cpufeature.h>
#include <asm/cpuid/api.h>
#include <asm/invlpgb_emulate.h>
#include <asm/nmi.h>
#include <asm/processor-flags.h>
#include <asm/special_insns.h>

static atomic_long_t invlpgb_sent;
static DEFINE_PER_CPU(unsigned long, invlpgb_done);
static DEFINE_PER_CPU(unsigned long, pcid_cr3);

static bool has_no_pcid(void)
{
	static bool known, none;

	if (!known) {
		none = !(cpuid_ecx(1) & BIT(X86_FEATURE_PCID & 31));
		known = true;
	}
	return none;
}

static int invlpgb_nmi(unsigned int type, struct pt_regs *regs)
{
	unsigned long sent = atomic_long_read(&invlpgb_sent);

	native_write_cr3(__native_read_cr3());
	/* The TLB is dropped before the sender goes on: pairs with emulate_invlpgb() */
	smp_store_release(this_cpu_ptr(&invlpgb_done), sent);
	return NMI_HANDLED;
}

static int __init invlpgb_emulate_init(void)
{
	if (!boot_cpu_has(X86_FEATURE_INVLPGB) || !has_no_pcid())
		return 0;
	return register_nmi_handler(NMI_LOCAL, invlpgb_nmi, 0, "invlpgb");
}
early_initcall(invlpgb_emulate_init);

/* Whether it was done. The sender waits here, and has nothing left to wait for. */
bool emulate_invlpgb(void)
{
	unsigned long sent;
	int cpu, self;

	if (!has_no_pcid())
		return false;

	self = get_cpu();
	sent = atomic_long_inc_return(&invlpgb_sent);
	native_write_cr3(__native_read_cr3());
	if (num_online_cpus() > 1) {
		__apic_send_IPI_mask_allbutself(cpu_online_mask, NMI_VECTOR);
		for_each_online_cpu(cpu) {
			while (cpu != self &&
			       /* Pairs with invlpgb_nmi() */
			       smp_load_acquire(per_cpu_ptr(&invlpgb_done, cpu)) < sent)
				cpu_relax();
		}
	}
	put_cpu();
	return true;
}

bool emulate_tlbsync(void)
{
	return has_no_pcid();
}

unsigned long emulate_pcid_read_cr3(void)
{
	unsigned long real = __native_read_cr3();
	unsigned long told = this_cpu_read(pcid_cr3);

	/* Loads that did not come by emulate_pcid_write_cr3() had no PCID. */
	return (real ^ told) & CR3_ADDR_MASK ? real : told;
}

void emulate_pcid_write_cr3(unsigned long cr3)
{
	this_cpu_write(pcid_cr3, cr3 & ~CR3_NOFLUSH);
	native_write_cr3(has_no_pcid() ? cr3 & CR3_ADDR_MASK : cr3);
}

unsigned long emulate_pcid_cr4(unsigned long cr4)
{
	return has_no_pcid() ? cr4 & ~X86_CR4_PCIDE : cr4;
}
