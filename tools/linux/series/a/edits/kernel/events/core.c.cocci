// perf walks by itself, in NMIs too. Where current->mm is not loaded, the kernel's part of the tables will do.
@@
@@
  #include <linux/cgroup.h>
+ #include <linux/gup_walk.h>

@@
identifier mm;
@@
  perf_get_page_size(...)
  {
  <...
- if (!mm)
+ if (!mm || !gup_may_walk())
  { ... }
  ...>
  }
