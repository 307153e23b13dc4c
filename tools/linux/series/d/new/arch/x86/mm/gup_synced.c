// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which unlinked page tables of an mm has GUP-fast left?
 *
 * A task that unlinks tables flushes next, and holds the tlb_gen of that flush as
 * its ticket. All tickets up to mm->context.gup_synced_gen are covered: since they
 * were drawn, every CPU that may have been walking the mm has taken an
 * interrupt. A sync is skipped if its ticket is covered, by any sender's
 * interrupts, sent for any reason.
 *
 * A flush by IPIs covers its own ticket, if it left out no CPU but those that
 * cannot be walking. INVLPGB and hypercalls cover nothing. A flush of one CPU
 * needs no mark: the sync after it finds no other CPU to interrupt.
 */
#include <linux/gup_sync.h>
#include <linux/gup_synced.h>
#include <linux/hugetlb.h>
#include <linux/init.h>
#include <linux/mm.h>

#include <asm/tlbflush.h>

/* Not in the cache line that every flush writes and every switch reads. */
static_assert(offsetof(mm_context_t, gup_synced_gen) >=
	      offsetof(mm_context_t, tlb_gen) + SMP_CACHE_BYTES);

static bool gup_skip_covered __ro_after_init = true;

static int __init gup_synced_setup(char *arg)
{
	gup_skip_covered = !gup_sync_is(arg, "off") && !gup_sync_is(arg, "mask");
	return 0;
}
early_param("gupsync", gup_synced_setup);

/*
 * All of the mm's walkers that began before @gen was read have ended. @gen was
 * read before anything about the CPUs of the mm was.
 */
static void gup_set_synced(struct mm_struct *mm, u64 gen)
{
	s64 old = atomic64_read(&mm->context.gup_synced_gen);

	/* Release: the acknowledged interrupts, before a sync that is skipped */
	while ((u64)old < gen &&
	       !atomic64_try_cmpxchg_release(&mm->context.gup_synced_gen, &old, gen))
		;
}

/*
 * Called when each CPU of @mask has acknowledged the flush, or was left out by
 * should_flush_tlb(): lazy, or another mm loaded.
 */
void gup_sync_flushed(const struct cpumask *mask, const struct flush_tlb_info *info)
{
	if (gup_skip_covered && info->mm && mask == mm_cpumask(info->mm))
		gup_set_synced(info->mm, info->new_tlb_gen);
}

/**
 * tlb_remove_table_sync_mm - wait for GUP-fast on the CPUs of one mm
 * @mm: the mm whose page tables were unlinked
 * @gen: the tlb_gen of the flush that followed
 *
 * As tlb_remove_table_sync_mask(), but does nothing if that has been done since.
 */
void tlb_remove_table_sync_mm(struct mm_struct *mm, u64 gen)
{
	u64 seen;

	if (gup_skip_covered &&
	    (u64)atomic64_read_acquire(&mm->context.gup_synced_gen) >= gen)
		return;

	seen = atomic64_read_acquire(&mm->context.tlb_gen);
	tlb_remove_table_sync_mask(mm);
	if (gup_skip_covered)
		gup_set_synced(mm, seen);
}

#ifdef CONFIG_TRANSPARENT_HUGEPAGE
/* As pmdp_collapse_flush(), and says by which flush. */
pmd_t pmdp_collapse_flush_gen(struct vm_area_struct *vma, unsigned long address,
			      pmd_t *pmdp, u64 *gen)
{
	pmd_t old = pmdp_huge_get_and_clear(vma->vm_mm, address, pmdp);

	*gen = flush_tlb_range(vma, address, address + HPAGE_PMD_SIZE);
	return old;
}
#endif
