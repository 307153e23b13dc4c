/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_GUP_WALK_H
#define _LINUX_GUP_WALK_H

#ifdef CONFIG_X86
#include <linux/preempt.h>
#include <linux/sched.h>
#include <asm/tlbflush.h>

/*
 * May this CPU walk the page tables of current->mm without a lock? Only where
 * that mm is loaded, and not lazily: a sync that waits for the walkers of an mm
 * may then leave out every CPU that has another mm loaded, or is lazy.
 * Interrupts are off.
 *
 * It fails in an NMI only, or in an interrupt while a temporary mm is loaded:
 * context_switch() changes the loaded mm, or goes lazy, before it changes
 * current. kthread_use_mm() does it the other way round, so an NMI can come
 * between the store to is_lazy and the fence that follows it in
 * switch_mm_irqs_off(). Hence the fence here.
 */
static inline bool gup_may_walk(void)
{
	if (this_cpu_read(cpu_tlbstate.loaded_mm) != current->mm ||
	    this_cpu_read(cpu_tlbstate_shared.is_lazy))
		return false;
	if (in_nmi())
		smp_mb(); /* orders is_lazy = false before the walk */
	return true;
}
#else
static inline bool gup_may_walk(void)
{
	return true;
}
#endif

#endif /* _LINUX_GUP_WALK_H */
