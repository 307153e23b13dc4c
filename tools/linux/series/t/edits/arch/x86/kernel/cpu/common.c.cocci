// CR4.PCIDE is set in the shadow only.
@@
@@
  #include <linux/bitops.h>
+ #include <asm/invlpgb_emulate.h>

@@
identifier val, changed;
@@
  native_write_cr4(unsigned long val)
  {
  unsigned long changed = 0;
+ val = emulate_pcid_cr4(val);
  ...
  }
