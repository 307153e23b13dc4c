// A new mm, and one copied by fork(), begins with nothing covered, as it begins with tlb_gen 0.
@@
expression mm;
@@
  init_new_context(...)
  {
  <...
  atomic64_set(&mm->context.tlb_gen, 0);
+ atomic64_set(&mm->context.gup_synced_gen, 0);
  ...>
  }
