// The page's scripts run inside gradio components: `element`, `props`, `server` and `trigger` are given by gradio.
import js from "@eslint/js";
import globals from "globals";

const GIVEN_BY_GRADIO = { element: "readonly", props: "readonly", server: "readonly", trigger: "readonly" };

export default [
  js.configs.recommended,
  {
    files: ["**/*.js"],
    languageOptions: { sourceType: "script", globals: { ...globals.browser, ...GIVEN_BY_GRADIO } },
  },
];
