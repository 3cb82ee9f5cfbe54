// Package api is the door: HTTP in, calls of the node behind it, JSON out.
//
// It judges the form of a request and nothing else: who asks, whether the route
// exists, whether the body is JSON with known fields of the right types. What a
// request means (ranges, models, where callbacks may go) is judged by
// [node.Node.Submit]. It knows no SQL, no provider and no policy.
//
// # The way of a request
//
//	admit   Host, loop            whatever is asked for            admit.go
//	route   404, 405              the table                        routes.go
//	key     401                   all but the open routes          auth.go
//	origin  403                   what changes something           admit.go
//	query   400                   known parameters, each once      query.go
//	body    415, 413, 503         read under the memory budget     body.go
//	decode  400                   strict, names the field          decode.go, scan.go
//	serve                         a file for each door             generate.go, …
//	answer                        JSON, or the error's             handle.go, errors.go
//
// # Invariants
//
//   - A door returns a reply or an error; it never writes to the client. One
//     table maps errors to status codes, and one place logs the internal ones.
//   - Nothing is read without a bound: bodies, headers, nesting, the time that a
//     body may take, connections.
//   - No key, no body and no query reaches a log.
package api
