// A flush says which tlb_gen was its own.
@@
@@
- void
+ u64
  flush_tlb_mm_range(...);
