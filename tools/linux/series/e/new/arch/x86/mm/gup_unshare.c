// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who waits for GUP-fast when a shared page table is unshared?
 *
 * Each mm that leaves waits for its own walkers, before it lets go of the
 * i_mmap_rwsem that it holds for writing since it cleared its entry. So no
 * walker of an mm that has left is in the table when its last sharer reuses it,
 * and nothing has to be remembered of those who left.
 *
 * The last to leave cannot do it for the others: its CPUs are not theirs.
 * gupsync=naive lets it, for testing the tests, and is unsafe.
 */
#include <linux/cache.h>
#include <linux/gup_sync.h>
#include <linux/gup_unshare.h>
#include <linux/init.h>
#include <linux/printk.h>

static bool gup_each_unshare __ro_after_init = true;

bool gup_sync_each_unshare(void)
{
	return gup_each_unshare;
}

static int __init gup_unshare_setup(char *arg)
{
	gup_each_unshare = !gup_sync_is(arg, "off") && !gup_sync_is(arg, "naive");
	if (gup_sync_is(arg, "naive"))
		pr_warn("gupsync=naive: walkers of shared page tables are not waited for\n");
	return 0;
}
early_param("gupsync", gup_unshare_setup);
