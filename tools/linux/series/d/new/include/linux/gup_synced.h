/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_GUP_SYNCED_H
#define _LINUX_GUP_SYNCED_H

#include <linux/pgtable.h>
#include <linux/types.h>

struct cpumask;
struct flush_tlb_info;
struct vm_area_struct;

#ifdef CONFIG_X86
void gup_sync_flushed(const struct cpumask *mask, const struct flush_tlb_info *info);
void tlb_remove_table_sync_mm(struct mm_struct *mm, u64 gen);
pmd_t pmdp_collapse_flush_gen(struct vm_area_struct *vma, unsigned long address,
			      pmd_t *pmdp, u64 *gen);
#else
#define tlb_remove_table_sync_mm(mm, gen) \
	((void)(mm), (void)(gen), tlb_remove_table_sync_one())
#define pmdp_collapse_flush_gen(vma, address, pmdp, gen) \
	(*(gen) = 0, pmdp_collapse_flush(vma, address, pmdp))
#endif

#endif /* _LINUX_GUP_SYNCED_H */
