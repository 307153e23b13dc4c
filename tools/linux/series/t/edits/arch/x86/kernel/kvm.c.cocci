// A debugger plays a hypervisor by answering these two: gupsync's check.
@@
attribute name noinline;
@@
- unsigned int
+ unsigned int noinline
  kvm_arch_para_features(void)
  {
  ...
  }

@@
attribute name noinline;
@@
- unsigned int
+ unsigned int noinline
  kvm_arch_para_hints(void)
  {
  ...
  }
