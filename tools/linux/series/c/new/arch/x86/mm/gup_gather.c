// SPDX-License-Identifier: GPL-2.0-only
/*
 * gupsync=gather: skip the sync by what one's own flush has reached, and by
 * nothing else. For comparison with the state in mm->context, which then stays
 * as it began: a ticket is covered already, or never will be.
 */
#include <linux/cache.h>
#include <linux/gup_gather.h>
#include <linux/gup_sync.h>
#include <linux/init.h>
#include <linux/limits.h>
#include <linux/mm_types.h>

#include <asm/tlbflush.h>

static bool gup_gather __ro_after_init;

static int __init gup_gather_setup(char *arg)
{
	gup_gather = gup_sync_is(arg, "gather");
	return 0;
}
early_param("gupsync", gup_gather_setup);

/* All of @mask have acknowledged the flush, or cannot be walking. */
void gup_gather_flushed(const struct cpumask *mask, const struct flush_tlb_info *info)
{
	if (info->mm && mask == mm_cpumask(info->mm))
		((struct flush_tlb_info *)info)->gup_reached = true;
}

/* What the flush hands on to the sync that follows. */
u64 gup_gather_ticket(const struct flush_tlb_info *info)
{
	if (!gup_gather)
		return info->new_tlb_gen;
	return info->gup_reached ? 0 : U64_MAX;
}
