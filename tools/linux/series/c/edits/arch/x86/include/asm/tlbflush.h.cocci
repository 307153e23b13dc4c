// A flush remembers, until it returns, that it has reached all.
@@
typedef u8;
@@
  struct flush_tlb_info {
  ...
  u8 trim_cpumask;
+ u8 gup_reached;
  ...
  };
