{
  "variables": {
    # 1: our warnings are errors (the project's own builds); 0: a user's compiler may warn.
    "tattler_strict%": 0,
    # 1: a binary for other machines: the C++ runtime linked in.
    "tattler_portable%": 0
  },
  "targets": [
    {
      "target_name": "tattler",
      "sources": ["<!@(node -p \"require('fs').readdirSync('native').filter((f) => f.endsWith('.cc')).map((f) => 'native/' + f).join(' ')\")"],
      "defines": ["NAPI_VERSION=8", "NAPI_DISABLE_CPP_EXCEPTIONS", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "cflags!": ["-O2"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20", "-Wno-unused-parameter"],
      "cflags": ["-O3", "-fvisibility=hidden"],
      "cflags_cc": [
        "-std=c++20",
        "-fvisibility-inlines-hidden",
        "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow",
        # Relative to build/, where make runs. Headers of others are theirs to clean.
        "-isystem", "../native/vendor",
        "-isystem", "<(node_root_dir)/include/node"
      ],
      "conditions": [
        ["tattler_strict==1", { "cflags_cc": ["-Werror"] }],
        ["tattler_portable==1 and OS=='linux'", {
          "dependencies": ["glibc"],
          "ldflags": [
            "-static-libstdc++", "-Wl,--exclude-libs,ALL", "-Wl,--as-needed", "-Wl,--gc-sections", "-s",
            "-Wl,@../native/portable/wrap.txt"
          ]
        }],
        ["OS!='linux'", { "sources!": ["native/udp_linux.cc", "native/udp_linux_send.cc"] }]
      ],
      "xcode_settings": {
        "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
        "CLANG_CXX_LIBRARY": "libc++",
        "GCC_OPTIMIZATION_LEVEL": "3",
        "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
        "MACOSX_DEPLOYMENT_TARGET": "11.0",
        "OTHER_CPLUSPLUSFLAGS": ["-isystem", "../native/vendor"]
      }
    }
  ],
  "conditions": [
    ["tattler_portable==1 and OS=='linux'", {
      "targets": [
        {
          "target_name": "glibc",
          "type": "static_library",
          "sources": ["native/portable/glibc.cc"],
          "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
          "cflags_cc": ["-std=c++20", "-fvisibility=hidden", "-Wall", "-Wextra"],
          "conditions": [
            # The first version of glibc on the architecture.
            ["target_arch=='arm64'", { "defines": ["TATTLER_GLIBC=\"GLIBC_2.17\""] }, { "defines": ["TATTLER_GLIBC=\"GLIBC_2.2.5\""] }]
          ]
        }
      ]
    }]
  ]
}
