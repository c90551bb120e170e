/* The box in which a tab answers. field_errors.js shows what the server told: here what belongs to no field. */
/* global element, props, watch */
const draw = () => window.fieldErrors?.tell(element, props);
watch(["value", "stamp"], draw);
draw();
