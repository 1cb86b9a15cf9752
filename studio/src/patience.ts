/** Patience of tests of pages: cargo builds on the same cores, and whatever is awaited only ends what hangs. */
import { configure } from "@testing-library/react";

configure({ asyncUtilTimeout: 30_000 });
