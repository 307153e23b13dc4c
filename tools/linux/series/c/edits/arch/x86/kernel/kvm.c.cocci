// A flush of vCPUs remembers it too.
@@
@@
  #include <linux/gup_synced.h>
+ #include <linux/gup_gather.h>

@@
expression mask, info;
@@
  gup_sync_flushed(mask, info);
+ gup_gather_flushed(mask, info);
