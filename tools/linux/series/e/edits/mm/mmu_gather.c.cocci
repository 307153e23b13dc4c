// A gather begins without a ticket.
@@
expression tlb;
@@
  __tlb_gather_mmu(...)
  {
  <...
  tlb->fully_unshared_tables = 0;
+ tlb->gup_gen = GUP_GEN_NONE;
  ...>
  }
