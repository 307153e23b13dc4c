/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_GUP_UNSHARE_H
#define _LINUX_GUP_UNSHARE_H

#include <linux/types.h>

/* Page tables were unlinked since the last flush: a ticket that is never covered. */
#define GUP_GEN_NONE	U64_MAX

#ifdef CONFIG_X86
bool gup_sync_each_unshare(void);
#else
static inline bool gup_sync_each_unshare(void)
{
	return false;
}
#endif

#endif /* _LINUX_GUP_UNSHARE_H */
