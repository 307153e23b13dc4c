// Collapse waits unless its own flush, or what came since, has done so.
@@
@@
- #include <linux/gup_sync.h>
+ #include <linux/gup_synced.h>

@@
expression list flushed;
@@
  collapse_huge_page(...)
  {
+ u64 gup_gen;
  <...
- pmdp_collapse_flush(flushed)
+ pmdp_collapse_flush_gen(flushed, &gup_gen)
  ...>
  }

@@
expression mm;
@@
  collapse_huge_page(...)
  {
  <...
- tlb_remove_table_sync_mask(mm);
+ tlb_remove_table_sync_mm(mm, gup_gen);
  ...>
  }
