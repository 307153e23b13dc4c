/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_GUP_SYNC_H
#define _LINUX_GUP_SYNC_H

#include <linux/string.h>
#include <linux/types.h>

struct mm_struct;

/* Is this what the command line has after gupsync=? */
static inline bool gup_sync_is(const char *arg, const char *mode)
{
	return arg && !strcmp(arg, mode);
}

#ifdef CONFIG_X86
void tlb_remove_table_sync_mask(struct mm_struct *mm);
#else
#define tlb_remove_table_sync_mask(mm) ((void)(mm), tlb_remove_table_sync_one())
#endif

#endif /* _LINUX_GUP_SYNC_H */
