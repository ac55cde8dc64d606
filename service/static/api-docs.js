// Shows the OpenAPI document on the page at /docs.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis],
  showCommonExtensions: true,
  showExtensions: true,
  validatorUrl: null, // or Swagger UI sends the document's address to a public validator
});
