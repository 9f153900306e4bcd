// Starts Swagger UI on the service's own description.
const url = new URL("../openapi.json", document.currentScript.src).href;
window.ui = SwaggerUIBundle({ url, dom_id: "#swagger-ui", deepLinking: true, tryItOutEnabled: true, defaultModelsExpandDepth: 0, validatorUrl: null });
