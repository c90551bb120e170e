/* The box in which a tab answers. field_errors.js shows what the server told: here what belongs to no field. */
/* global element, props, watch */
let due = 0;
const draw = () => {
  clearTimeout(due); // gradio changes one property after the other
  due = setTimeout(() => window.fieldErrors?.tell(element, props));
};
watch(["value", "stamp"], draw);
draw();
