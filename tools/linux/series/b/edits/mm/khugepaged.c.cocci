// Collapse waits for the CPUs of the mm whose PTE table it has taken out.
@@
@@
  #include <linux/khugepaged.h>
+ #include <linux/gup_sync.h>

@@
identifier mm;
@@
  collapse_huge_page(struct mm_struct *mm, ...)
  {
  <...
- tlb_remove_table_sync_one();
+ tlb_remove_table_sync_mask(mm);
  ...>
  }
