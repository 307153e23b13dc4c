// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waiting for GUP-fast on the CPUs of one mm.
 *
 * A walker keeps interrupts off, so a CPU that has taken an interrupt is in no
 * walk that began before. Only CPUs that have the mm loaded, and not lazily,
 * can be in a walk of it: see gup_may_walk().
 */
#include <linux/gup_sync.h>
#include <linux/errno.h>
#include <linux/init.h>
#include <linux/minmax.h>
#include <linux/mm_types.h>
#include <linux/smp.h>
#include <linux/string.h>

#include <asm/tlb.h>
#include <asm/tlbflush.h>

static bool gup_sync_mask __ro_after_init = true;

static int __init gup_sync_setup(char *arg)
{
	static const char *const known[] = { "off", "mask", "gather", "naive", "pending" };

	gup_sync_mask = !gup_sync_is(arg, "off");
	return arg ? min(match_string(known, ARRAY_SIZE(known), arg), 0) : -EINVAL;
}
early_param("gupsync", gup_sync_setup);

/*
 * Looked at after a full fence that follows the clearing of the entries. Either
 * the look sees the CPU come, or the walk there sees the entries cleared: there
 * is a fence in switch_mm_irqs_off() after LOADED_MM_SWITCHING, and one after
 * is_lazy = false. The latter is missing where the mm has a global ASID.
 */
static bool gup_may_be_walking(int cpu, void *data)
{
	struct mm_struct *mm = data;
	struct mm_struct *loaded = READ_ONCE(per_cpu(cpu_tlbstate.loaded_mm, cpu));

	if (loaded != mm && loaded != LOADED_MM_SWITCHING)
		return false;
	/* is_lazy at least as new as loaded_mm: it is set to false before LOADED_MM_SWITCHING */
	smp_rmb();
	return mm_global_asid(mm) || !READ_ONCE(per_cpu(cpu_tlbstate_shared.is_lazy, cpu));
}

static void tlb_remove_table_smp_sync(void *unused)
{
	/* Taking the interrupt is all there is to do. */
}

/**
 * tlb_remove_table_sync_mask - wait for GUP-fast on the CPUs of one mm
 * @mm: the mm whose page tables were unlinked
 *
 * As tlb_remove_table_sync_one(), for tables that no other mm could reach.
 */
void tlb_remove_table_sync_mask(struct mm_struct *mm)
{
	if (!gup_sync_mask) {
		tlb_remove_table_sync_one();
		return;
	}
	smp_mb(); /* the cleared entries, before gup_may_be_walking() */
	on_each_cpu_cond_mask(gup_may_be_walking, tlb_remove_table_smp_sync, mm,
			      true, mm_cpumask(mm));
}
