"""What the browser has kept of the forms, perhaps by another version of this page: what fits is put back, the rest
is told.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import gradio as gr

NOT_SECRET = (  # gradio scrambles what it keeps; a random key would lose it at each start of the server
    "forms of this page"
)
_FILL = """(kept, ...values) => {
  const rules = RULES, known = KNOWN;
  const was = kept && typeof kept === "object" && !Array.isArray(kept) ? kept : {};
  const fits = (rule, value) => Array.isArray(rule) ? rule.includes(value)
    : typeof value === rule || (value === null && rule !== "boolean");
  const left = Object.keys(was).filter(name => !known.includes(name));
  const filled = rules.map(([name, label, rule], i) => {
    if (!(name in was)) return values[i];
    if (was[name] === values[i] || fits(rule, was[name])) return was[name];
    left.push(label);
    return values[i];
  });
  const names = left.slice(0, 10).join(", ");
  const text = `This browser has kept values of another version of this page, which are not used: ${names}.`;
  return [...filled, left.length ? { __type__: "update", value: text, visible: true } : { __type__: "update" }];
}"""


def browser_state(value: Any, name: str) -> Any:
    """A value that each browser keeps for itself, also when the page is closed."""
    return gr.BrowserState(value, storage_key=f"textual-inversion-{name}", secret=NOT_SECRET)


def keep_script(names: Collection[str], started_with: str) -> str:
    """A function for the browser: from what was kept and the widgets' values, in the order of `names`, it gives what
    is to be kept. A page half put back must not overwrite what was kept.
    """
    started = json.dumps({"started_with": started_with})
    named = f"Object.fromEntries({json.dumps(list(names))}.map((name, i) => [name, values[i]]))"
    return f"(kept, ...values) => [window.formsAreBack ? Object.assign({started}, {named}) : kept]"


def rule_of(widget: Any) -> str | list[Any]:
    """Which values a widget takes, as the browser knows them: a type of JavaScript, or one of its choices."""
    if isinstance(widget, gr.Checkbox):
        return "boolean"
    if isinstance(widget, gr.Number | gr.Slider):
        return "number"
    if isinstance(widget, gr.Radio | gr.Dropdown) and not getattr(widget, "allow_custom_value", False):
        return [value for _, value in widget.choices]
    return "string"


def fill_script(typed: Mapping[str, Any], known: Collection[str]) -> str:
    """A function for the browser: from what was kept and the widgets' values it gives the values of `typed`, and an
    update of a message box.

    `known` are all names that this version keeps; what else there is was kept by another one.
    """
    rules = [[name, widget.label, rule_of(widget)] for name, widget in typed.items()]
    return _FILL.replace("RULES", json.dumps(rules)).replace("KNOWN", json.dumps(list(known)))


def text_of(value: Any, otherwise: str) -> str:
    """What was kept for a text, if it is one."""
    return value if isinstance(value, str) and value else otherwise
