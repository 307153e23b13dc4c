// A vCPU that is preempted is sent no interrupt: it may have been stopped inside a walk.
@@
@@
  #include <linux/sched.h>
+ #include <linux/gup_synced.h>

@@
identifier mask, info, asked;
expression cpu;
@@
  kvm_flush_tlb_multi(const struct cpumask *mask, const struct flush_tlb_info *info)
  {
+ bool all = true;
  <...
- __cpumask_clear_cpu(cpu, asked);
+ {
+ 	__cpumask_clear_cpu(cpu, asked);
+ 	all = false;
+ }
  ...>
  native_flush_tlb_multi(asked, info);
+ if (all)
+ 	gup_sync_flushed(mask, info);
  }
