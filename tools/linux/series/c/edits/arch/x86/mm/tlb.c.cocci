// The ticket of a flush says what it has reached.
@@
@@
  #include <linux/gup_synced.h>
+ #include <linux/gup_gather.h>

@@
expression info;
@@
  init_flush_tlb_info(...)
  {
  <...
  info->trim_cpumask = 0;
+ info->gup_reached = 0;
  ...>
  }

@@
identifier info, gen;
@@
  flush_tlb_mm_range(...)
  {
  ...
  struct flush_tlb_info info;
  <...
- return gen;
+ return gup_gather_ticket(&info);
  ...>
  }

@@
expression mask, info;
@@
  gup_sync_flushed(mask, info);
+ gup_gather_flushed(mask, info);
