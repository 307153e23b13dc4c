// So is PCID.
@@
@@
  #include <linux/mmu_context.h>
+ #include <asm/invlpgb_emulate.h>

@@
expression cr3;
@@
- write_cr3(cr3)
+ emulate_pcid_write_cr3(cr3)

@@
@@
  switch_mm_irqs_off(...)
  {
  <...
- __read_cr3()
+ emulate_pcid_read_cr3()
  ...>
  }

@@
@@
  initialize_tlbstate_and_flush(...)
  {
  <...
- __read_cr3()
+ emulate_pcid_read_cr3()
  ...>
  }
