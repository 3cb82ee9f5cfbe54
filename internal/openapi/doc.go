// Package openapi writes the OpenAPI document of the API.
//
// It says nothing that is not said elsewhere first:
//
//   - which operations there are, and how they may answer: the table of routes
//     that serves them, given to [Document];
//   - which fields a body has, and of which types: the structs of package
//     ringback, by reflection;
//   - what all that means, and an example of each: docs/api.md and
//     docs/webhooks.md, read at run time (manual.go);
//   - the bounds of numbers: [check.Ranges].
//
// What is left, enumerations, formats and lengths, stands in facts.go, and tests
// hold it to what the server takes and gives.
package openapi
