// The page's scripts run as functions inside gradio components, which give them `element`, `props`, `server` and
// `trigger`. Each file names in /* global */ what it takes, of gradio and of other files, and in /* exported */ what it
// gives to others.
import js from "@eslint/js";
import globals from "globals";

export default [
  js.configs.recommended,
  {
    files: ["**/*.js"],
    languageOptions: { sourceType: "script", globals: globals.browser },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: { eqeqeq: ["error", "always", { null: "ignore" }], "max-len": ["error", 120], "prefer-const": "error" },
  },
];
