// A flush says which tlb_gen was its own, and one by IPIs that it has reached all of its mask.
@@
@@
  #include <linux/mmu_context.h>
+ #include <linux/gup_synced.h>

@@
typedef u64;
identifier gen;
expression list notified;
parameter list params;
@@
- void
+ u64
  flush_tlb_mm_range(params)
  {
  ...
  u64 gen;
  <...
  mmu_notifier_arch_invalidate_secondary_tlbs(notified);
+ return gen;
  ...>
  }

@@
identifier mask, info;
expression freed;
expression list all, some;
@@
  native_flush_tlb_multi(const struct cpumask *mask, const struct flush_tlb_info *info)
  {
  <...
  if (freed)
    on_each_cpu_mask(all);
  else
    on_each_cpu_cond_mask(some);
+ gup_sync_flushed(mask, info);
  ...>
  }
