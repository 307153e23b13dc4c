// INVLPGB is emulated where there is none.
@@
@@
  #include <asm-generic/tlb.h>
+ #include <asm/invlpgb_emulate.h>

@@
expression list clean;
@@
  __invlpgb(...)
  {
  <...
  VM_WARN_ON_ONCE(clean);
+ if (emulate_invlpgb())
+ 	return;
  ...>
  }

@@
@@
  __tlbsync(...)
  {
  <...
  cant_migrate();
+ if (emulate_tlbsync())
+ 	return;
  ...>
  }
