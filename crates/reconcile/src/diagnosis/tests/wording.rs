use crate::diagnosis::wording::*;

fn check(log: &str, wanted: &str) {
    let lines: Vec<&str> = log.lines().collect();
    let found = decisive(&lines).map(|index| lines[index].trim());
    assert_eq!(found, Some(wanted), "{log}");
}

#[test]
fn javascript_tools_are_read_through_their_wrappers() {
    // Real: Next 16 (types, prerendering), Vite 8 (import, syntax), npm 11.
    check(
        "> web@1.0.0 build\n> next build\n\n✓ Compiled successfully in 57s\n  Running TypeScript ...\n\n  We detected TypeScript in your project and created a tsconfig.json file for you.\napp/page.tsx(1,35): error TS2322: Type 'string' is not assignable to type 'number'.\nFailed to type check.",
        "app/page.tsx(1,35): error TS2322: Type 'string' is not assignable to type 'number'.",
    );
    check(
        "  Generating static pages using 1 worker (0/3) ...\nError occurred prerendering page \"/\". Read more: https://nextjs.org/docs/messages/prerender-error\nError: API_URL must be set to build this page\n    at c (app/page.tsx:1:80)\n> 1 | export default async function P(){}\n    |        ^\n  2 | {\n  digest: '2223528880'\n}\nExport encountered an error on /page: /, exiting the build.\n⨯ Next.js build worker exited with code: 1 and signal: null",
        "Error: API_URL must be set to build this page",
    );
    check(
        "transforming...\n✓ 4 modules transformed.\n✗ Build failed in 342ms\nerror during build:\nBuild failed with 1 error:\n\n[UNRESOLVED_IMPORT] Could not resolve './missing.js' in main.js\n   ╭─[ main.js:1:15 ]\n   │\n 1 │ import x from \"./missing.js\"; console.log(x)\n   │               ───────┬──────  \n   │                      ╰──────── Module not found.\n   │ \n   │ Help: 'main.js' is imported by the following path:\n───╯\n\n    at aggregateBindingErrorsIntoJsError (file:///x/error.mjs:50:18)\n  errors: [Getter/Setter]\n}\nmake: *** [Makefile:2: build] Error 1",
        "[UNRESOLVED_IMPORT] Could not resolve './missing.js' in main.js",
    );
    check(
        "✗ Build failed in 342ms\nerror during build:\nBuild failed with 1 error:\n\n[PARSE_ERROR] Unexpected token\n   ╭─[ main.js:1:7 ]\n   │\n 1 │ const = 1\n   │       ┬  \n   │       ╰── \n───╯",
        "[PARSE_ERROR] Unexpected token",
    );
    check(
        "npm error code E404\nnpm error 404 Not Found - GET https://registry.example/no-such\nnpm error 404\nnpm error 404  The requested resource 'no-such@1' could not be found or you do not have permission to access it.\nnpm error 404\nnpm error 404 Note that you can also install from a\nnpm error 404 tarball, folder, http url, or git url.\nnpm error A complete log of this run can be found in: /x.log",
        "npm error 404  The requested resource 'no-such@1' could not be found or you do not have permission to access it.",
    );
    check(
        "npm error code ETARGET\nnpm error notarget No matching version found for left-pad@^99.0.0.\nnpm error notarget In most cases you or one of your dependencies are requesting a package version that doesn't exist.\nnpm error A complete log of this run can be found in: /x",
        "npm error notarget No matching version found for left-pad@^99.0.0.",
    );
    // Next 14, webpack 5, turbo 2, pnpm, yarn.
    check(
        "Failed to compile.\n\n./src/app/page.tsx:3:5\nType error: Property 'x' does not exist on type 'Y'.\n\n  1 | a\n> 3 | b\n    |     ^\nELIFECYCLE  Command failed with exit code 1.",
        "Type error: Property 'x' does not exist on type 'Y'.",
    );
    check(
        "ERROR in ./src/index.js 1:0-24\nModule not found: Error: Can't resolve './nope' in '/opt/render/project/src/src'\n\nwebpack 5.90.0 compiled with 1 error in 300 ms",
        "Module not found: Error: Can't resolve './nope' in '/opt/render/project/src/src'",
    );
    check(
        "web:build: cache miss, executing 1a2b\nweb:build: src/a.ts(1,7): error TS2322: Type 'number' is not assignable to type 'string'.\nweb:build: npm error Lifecycle script `build` failed with error:\nweb:build: npm error code 2\nweb:build: ERROR: command finished with error: command (/x/web) npm run build exited (2)\nweb#build: command (/x/web) npm run build exited (2)\n\n Tasks:    0 successful, 1 total\nCached:    0 cached, 1 total\n  Time:    1.2s\nFailed:    web#build\n\n ERROR  run failed: command  exited (2)",
        "web:build: src/a.ts(1,7): error TS2322: Type 'number' is not assignable to type 'string'.",
    );
    check(
        "apps/web build$ vite build\napps/web build: error during build:\napps/web build: RollupError: Could not resolve \"./x\" from \"src/main.ts\"\napps/web build:     at getRollupError (file:///x)\napps/web build: Failed\n ERR_PNPM_RECURSIVE_RUN_FIRST_FAIL  web@1.0.0 build: `vite build`\nExit status 1",
        "apps/web build: RollupError: Could not resolve \"./x\" from \"src/main.ts\"",
    );
    check(
        "yarn run v1.22.22\n$ tsc\nsrc/a.ts(1,7): error TS2322: no\nerror Command failed with exit code 2.\ninfo Visit https://yarnpkg.com/en/docs/cli/run for documentation about this command.",
        "src/a.ts(1,7): error TS2322: no",
    );
}

#[test]
fn other_languages_are_read_through_their_wrappers() {
    // Real: pip, poetry 2, uv.
    check(
        "error: No solution found when resolving dependencies\n  cause: Because the current Python version (3.11.7) does not satisfy Python>=3.13 and x==0.1.0 depends on Python>=3.13, we can conclude that x==0.1.0 cannot be used.\n         And because only x==0.1.0 is available and you require x, we can conclude that your requirements are unsatisfiable.",
        "cause: Because the current Python version (3.11.7) does not satisfy Python>=3.13 and x==0.1.0 depends on Python>=3.13, we can conclude that x==0.1.0 cannot be used.",
    );
    check(
        "Installing the current project: x (0.1.0)\n\nError: The current project could not be installed: No file/folder found for package x\nIf you do not want to install the current project use --no-root.\nIf you want to use Poetry only for dependency management but not for packaging, you can disable package mode.",
        "Error: The current project could not be installed: No file/folder found for package x",
    );
    check(
        "Traceback (most recent call last):\n  File \"/x/manage.py\", line 22, in <module>\n    main()\ndjango.core.exceptions.ImproperlyConfigured: bad setting\nmake: *** [Makefile:3: static] Error 1",
        "django.core.exceptions.ImproperlyConfigured: bad setting",
    );
    // cargo, go, bundler, maven, gradle, prisma.
    check(
        "   Compiling app v0.1.0 (/x)\nerror[E0308]: mismatched types\n --> src/main.rs:2:18\n  |\n2 |     let x: u32 = \"a\";\n  |                  ^^^ expected `u32`, found `&str`\n\nFor more information about this error, try `rustc --explain E0308`.\nerror: could not compile `app` (bin \"app\") due to 1 previous error",
        "error[E0308]: mismatched types",
    );
    check(
        "# example.com/app\n./main.go:6:2: undefined: foo\nmake: *** [build] Error 1",
        "./main.go:6:2: undefined: foo",
    );
    check(
        "Gem::Ext::BuildError: ERROR: Failed to build gem native extension.\n\n    current directory: /x/pg\n/usr/bin/ruby extconf.rb\nchecking for pg_config... no\nUnable to find PostgreSQL client library.\n\nPlease install libpq or postgresql client package like so:\n  sudo apt install libpq-dev\n\nAn error occurred while installing pg (1.5.4), and Bundler cannot continue.",
        "Unable to find PostgreSQL client library.",
    );
    check(
        "[INFO] BUILD FAILURE\n[ERROR] COMPILATION ERROR : \n[INFO] -----\n[ERROR] /x/App.java:[3,5] cannot find symbol\n[ERROR] Failed to execute goal org.apache.maven.plugins:maven-compiler-plugin:3.11.0:compile (default-compile) on project app: Compilation failure\n[ERROR] -> [Help 1]\n[ERROR] Re-run Maven using the -X switch to enable full debug logging.",
        "[ERROR] /x/App.java:[3,5] cannot find symbol",
    );
    check(
        "/x/App.java:3: error: cannot find symbol\n    foo();\n    ^\n1 error\n\nFAILURE: Build failed with an exception.\n\n* What went wrong:\nExecution failed for task ':compileJava'.\n> Compilation failed; see the compiler error output for details.\n\n* Try:\n> Run with --info option to get more log output.\n\nBUILD FAILED in 2s",
        "> Compilation failed; see the compiler error output for details.",
    );
    check(
        "Prisma schema loaded from prisma/schema.prisma\nError: Prisma schema validation - (validate wasm)\nError code: P1012\nerror: Error validating datasource `db`: the URL must start with the protocol `postgresql://`.\n  -->  prisma/schema.prisma:7\n",
        "error: Error validating datasource `db`: the URL must start with the protocol `postgresql://`.",
    );
}

#[test]
fn wrappers_introducers_and_advice_are_never_decisive() {
    for line in [
        "make: *** [Makefile:2: build] Error 1",
        "Failed to compile.",
        "npm error code E404",
        "npm ERR! code EUSAGE",
        "error during build:",
        "Error occurred prerendering page \"/about\". Read more: https://x",
        "error Command failed with exit code 1.",
        " ELIFECYCLE  Command failed with exit code 1.",
        "You may need an appropriate loader to handle this file type.",
        "hint: run `uv lock`",
        "If you want to use Poetry only for dependency management, disable package mode.",
        "web:build: npm error code 1",
        "npm error Lifecycle script `build` failed with error:",
        "subprocess.CalledProcessError: Command 'x' returned non-zero exit status 1.",
    ] {
        assert!(only_points(line), "{line}: {:?}", kind(line));
    }
    for line in [
        "Error: no such table: users",
        "Module not found: Error: Can't resolve 'x'",
        "error TS2345: no",
        "fatal: not a git repository",
    ] {
        assert!(!only_points(line), "{line}: {:?}", kind(line));
    }
}

#[test]
fn an_empty_log_has_no_decisive_line() {
    assert_eq!(decisive::<&str>(&[]), None);
    assert_eq!(decisive(&["", "make: *** [x] Error 2"]), None);
}
