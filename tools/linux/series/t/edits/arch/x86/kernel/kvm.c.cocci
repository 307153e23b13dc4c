// A debugger plays a hypervisor by answering these two: gupsync's check.
@@
attribute name noinline;
@@
- unsigned int
+ noinline unsigned int
  kvm_arch_para_features(void)
  {
  ...
  }

@@
attribute name noinline;
@@
- unsigned int
+ noinline unsigned int
  kvm_arch_para_hints(void)
  {
  ...
  }
