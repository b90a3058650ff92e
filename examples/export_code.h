static const char *export_code(const moe *m) { (void)m; return "not yet"; }
