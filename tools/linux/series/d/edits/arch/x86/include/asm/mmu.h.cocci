// The highest ticket that is covered: far from tlb_gen, which every flush writes and every switch reads.
@@
@@
  typedef struct {
  ...
+ atomic64_t gup_synced_gen;
  atomic_t perf_rdpmc_allowed;
  ...
  } mm_context_t;
