// The ticket of a gather is that of its last flush.
@@
identifier tlb;
expression list flushed;
@@
  tlb_flush(struct mmu_gather *tlb)
  {
  <...
- flush_tlb_mm_range(flushed);
+ tlb->gup_gen = flush_tlb_mm_range(flushed);
  ...>
  }
