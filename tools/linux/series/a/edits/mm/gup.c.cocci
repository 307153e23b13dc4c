// GUP-fast refuses where its mm is not the loaded one. In a task that cannot be.
@@
@@
  #include <linux/mm.h>
+ #include <linux/gup_walk.h>

@@
expression list walk;
@@
  gup_fast(...)
  {
  <...
- gup_fast_pgd_range(walk);
+ if (likely(gup_may_walk()))
+ 	gup_fast_pgd_range(walk);
+ else
+ 	VM_WARN_ON_ONCE(in_task());
  ...>
  }
