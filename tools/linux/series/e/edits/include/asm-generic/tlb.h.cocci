// An mm that leaves a shared table waits for its own walkers, whether or not others share it still.
@@
@@
  #include <linux/mmu_notifier.h>
+ #include <linux/gup_synced.h>
+ #include <linux/gup_unshare.h>

@@
typedef u64;
@@
  struct mmu_gather {
  struct mm_struct *mm;
+ u64 gup_gen;
  ...
  };

@@
identifier tlb, pt;
@@
  tlb_unshare_pmd_ptdesc(struct mmu_gather *tlb, struct ptdesc *pt, ...)
  {
  <...
- if (!ptdesc_pmd_is_shared(pt))
+ tlb->gup_gen = GUP_GEN_NONE;
+ if (gup_sync_each_unshare() || !ptdesc_pmd_is_shared(pt))
  tlb->fully_unshared_tables = true;
  ...>
  }

@@
identifier tlb;
@@
  tlb_flush_unshared_tables(struct mmu_gather *tlb)
  {
  <...
- tlb_remove_table_sync_one();
+ tlb_remove_table_sync_mm(tlb->mm, tlb->gup_gen);
  ...>
  }
