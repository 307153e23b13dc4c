/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_GUP_GATHER_H
#define _LINUX_GUP_GATHER_H

#include <linux/types.h>

struct cpumask;
struct flush_tlb_info;

void gup_gather_flushed(const struct cpumask *mask, const struct flush_tlb_info *info);
u64 gup_gather_ticket(const struct flush_tlb_info *info);

#endif /* _LINUX_GUP_GATHER_H */
