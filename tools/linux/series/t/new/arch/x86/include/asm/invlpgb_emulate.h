/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_X86_INVLPGB_EMULATE_H
#define _ASM_X86_INVLPGB_EMULATE_H

#include <linux/types.h>

#ifdef CONFIG_BROADCAST_TLB_FLUSH
bool emulate_invlpgb(void);
bool emulate_tlbsync(void);
unsigned long emulate_pcid_read_cr3(void);
void emulate_pcid_write_cr3(unsigned long cr3);
unsigned long emulate_pcid_cr4(unsigned long cr4);
#else
#define emulate_invlpgb() false
#define emulate_tlbsync() false
#define emulate_pcid_read_cr3() __read_cr3()
#define emulate_pcid_write_cr3(cr3) write_cr3(cr3)
#define emulate_pcid_cr4(cr4) (cr4)
#endif

#endif /* _ASM_X86_INVLPGB_EMULATE_H */
