package provider

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// The subject of a refusal, in each maker's words, decides what it holds. Gateways speak
// both protocols, so both know all of them.
func TestARefusalHoldsWhomItIsAbout(t *testing.T) {
	for want, refusals := range map[Verdict][]string{
		HoldKey: {
			// Credit.
			`500 {"type":"error","error":{"type":"api_error","message":"insufficient balance (1008)"}}`,
			`200 {"id":"x","choices":null,"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}`,
			`403 {"code":"INSUFFICIENT_BALANCE","message":"Insufficient account balance"}`,
			`429 {"error":{"code":"1113","message":"Insufficient balance or no resource package. Please recharge."}}`,
			`429 {"error":{"code":"1113","message":"您的账户已欠费，请充值后重试。"}}`,
			`402 {"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}`,
			`200 {"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}`,
			`400 {"error":{"code":"Arrearage","message":"Access denied, please make sure your account is in good standing.","type":"Arrearage"}}`,
			`403 {"error":{"code":"AccountOverdueError","message":"The request failed because your account has an overdue balance.","type":"Forbidden"}}`,
			`429 {"error":{"message":"Your account org-1 is suspended, please check your plan and billing details","type":"exceeded_current_quota_error"}}`,
			`429 {"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`,
			`403 {"code":"The caller does not have permission to execute the specified operation","error":"Your team 123 has either used all available credits or reached its monthly spending limit. To continue, purchase more credits."}`,
			`429 {"error":"Your newly created team doesn't have any credits yet.","code":"insufficient_credits"}`,
			`412 {"error":{"message":"Account acme is suspended, possibly due to reaching the monthly spending limit or failure to pay past invoices."}}`,
			`402 {"error":{"message":"This request requires more credits, or fewer max_tokens.","code":402}}`,
			`403 {"error":{"message":"Key limit exceeded (daily limit). Manage it using the settings","code":403}}`,
			`403 {"code":30001,"message":"Sorry, your account balance is insufficient","data":null}`,
			`400 {"error":{"message":"Budget has been exceeded! Current cost: 0.2, Max budget: 0.1","type":"budget_exceeded","param":null,"code":"400"}}`,
			`400 {"error":{"message":"litellm.BadRequestError: AnthropicException - {\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"Your credit balance is too low to access the Anthropic API.\"}}","type":null,"code":"400"}}`,
			`403 {"error":{"message":"用户额度不足, 剩余额度: 0","type":"new_api_error","code":"insufficient_user_quota"}}`,
			`429 {"error":"You have exceeded your monthly included credits for Inference Providers."}`,
			`400 {"error":{"message":"Organization has been restricted.","type":"invalid_request_error","code":"organization_restricted"}}`,
			`403 [{"error":{"code":403,"message":"This API method requires billing to be enabled.","status":"PERMISSION_DENIED","details":[{"reason":"BILLING_DISABLED"}]}}]`,
			// The key.
			`400 [{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}]`,
			`200 [{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}]`,
			`400 {"error":{"code":400,"message":"API key expired. Please renew the API key.","status":"INVALID_ARGUMENT"}}`,
			`400 {"code":"Client specified an invalid argument","error":"Incorrect API key provided: xa***. You can obtain an API key."}`,
			`200 {"base_resp":{"status_code":1004,"status_msg":"login fail"}}`,
			`200 {"base_resp":{"status_code":2049,"status_msg":"invalid api key"}}`,
			`401 {"statusCode":401,"message":"Access denied due to invalid subscription key or wrong API endpoint."}`,
			`401 {"detail":"Unauthorized"}`,
			`401 <html><head><title>401 Authorization Required</title></head></html>`,
			`401 `,
			`403 `,
			`403 {"message":"The security token included in the request is invalid."}`,
			`403 {"error":{"message":"You have insufficient permissions for this operation. Missing scopes: model.request.","type":"invalid_request_error"}}`,
			`403 {"type":"error","error":{"type":"permission_error","message":"Your API key does not have permission to use the specified resource."}}`,
		},
		ModelMissing: {
			"403 {\"error\":{\"message\":\"Project `proj_x` does not have access to model `gpt-5`\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"model_not_found\"}}",
			`403 {"type":"error","error":{"type":"permission_error","message":"Your organization does not have access to model claude-9"}}`,
			`403 {"type":"error","error":{"type":"permission_error","message":"Your organization has no access to claude-sonnet-4-5."}}`,
			"403 {\"error\":{\"message\":\"The model `x` is blocked at the project level.\",\"type\":\"permissions_error\",\"code\":\"model_permission_blocked_project\"}}",
			`403 {"error":{"code":"no_access","message":"No access to model: gpt-5"}}`,
			`403 {"message":"You don't have access to the model with the specified model ID."}`,
			`403 {"error":{"code":"AllocationQuota.FreeTierOnly","message":"The free tier of the model has been exhausted."}}`,
			`403 {"error":{"code":"Model.AccessDenied","message":"Model access denied."}}`,
			"400 {\"error\":{\"message\":\"The model `x` has been decommissioned and is no longer supported.\",\"type\":\"invalid_request_error\",\"code\":\"model_decommissioned\"}}",
			`400 {"error":{"message":"foo/bar is not a valid model ID","code":400}}`,
			`400 {"code":20012,"message":"Model does not exist. Please check it carefully.","data":null}`,
			`503 {"error":{"code":"model_not_found","message":"No available channel for model gpt-x under group default","type":"new_api_error"}}`,
			`404 {"error":{"message":"No endpoints found for foo/bar.","code":404}}`,
			`404 {"error":{"code":"ModelNotOpen","message":"Your account has not activated the model x."}}`,
			`200 {"error":{"message":"The model x does not exist","code":"model_not_found"}}`,
			`200 {"base_resp":{"status_code":2061,"status_msg":"your plan does not support this model"}}`,
		},
		Reject: {
			`403 <!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head><body>Sorry, you have been blocked</body></html>`,
			"403 <html>\r\n<head><title>403 Forbidden</title></head>\r\n<body><center><h1>403 Forbidden</h1></center><hr><center>nginx</center></body></html>",
			`403 <HTML><HEAD><TITLE>Access Denied</TITLE></HEAD><BODY><H1>Access Denied</H1>Reference #18.2d</BODY></HTML>`,
			`403 error code: 1020`,
			`403 {"cloudflare_error":true,"title":"Error 1020: Access denied","status":403}`,
			`403 {"error":"Request blocked by the firewall"}`,
			`403 {"error":{"message":"openai/gpt-4o requires moderation on OpenAI. Your input was flagged","code":403,"metadata":{"reasons":["violence"],"flagged_input":"x"}}}`,
			`403 {"code":"permission denied","error":"Content violates usage guidelines."}`,
			`400 {"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}`,
			`400 {"error":{"code":"data_inspection_failed","message":"Input data may contain inappropriate content."}}`,
			`500 {"error":{"code":"InternalError.Algo.DataInspectionFailed","message":"<400> InternalError.Algo.DataInspectionFailed: Output data may contain inappropriate content."}}`,
			`200 {"base_resp":{"status_code":1026,"status_msg":"input new_sensitive"}}`,
			`400 {"error":{"message":"Content Exists Risk","type":"invalid_request_error","code":"invalid_request_error"}}`,
			`400 {"error":{"code":"1301","message":"系统检测到输入或生成内容可能包含不安全或敏感内容"}}`,
			`500 {"error":{"message":"the request exceeds the available context size","type":"exceed_context_size_error","code":400}}`,
			// A caller's own text, quoted, holds no key.
			`400 {"error":{"message":"messages.0: 'Insufficient balance' is not a role"}}`,
			`400 {"error":{"message":"Unexpected token in 'API key not valid'","type":"invalid_request_error"}}`,
			`400 {"error":{"message":"Token '<' is not valid JSON"}}`,
			"400 Failed to deserialize the JSON body into the target type: messages[0]: unknown field `foo`",
		},
		Hold: {
			`429 {"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.","status":"RESOURCE_EXHAUSTED"}}`,
			`429 {"error":{"code":"1302","message":"Rate limit reached for requests"}}`,
			`429 {"error":{"message":"Your request was blocked since too many came","code":"rate_limit_exceeded"}}`,
			`429 {"error":{"message":"The model x has no access to more tokens a minute"}}`,
			`429 <html><title>429 Too Many Requests</title></html>`,
			`200 {"base_resp":{"status_code":1002,"status_msg":"rate limit exceeded(RPM)"}}`,
			`200 {"code":429,"message":"too many requests"}`,
			`200 {"error":{"type":"overloaded_error","message":"Overloaded"}}`,
			`503 {"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}`,
			`529 overloaded`,
		},
		Retry: {
			`500 {"error":{"message":"Internal error","type":"server_error"}}`,
			`502 {"error":{"message":"Provider returned error","code":502,"metadata":{"raw":"{\"error\":{\"message\":\"insufficient balance\"}}"}}}`,
			`503 <html><title>Service Unavailable</title></html>`,
			`200 {"base_resp":{"status_code":1013,"status_msg":"internal"}}`,
			`200 {"detail":"something broke"}`,
			`200 {"object":"error","message":"it broke"}`,
		},
	} {
		for _, refusal := range refusals {
			code, body, _ := strings.Cut(refusal, " ")
			var status int
			fmt.Sscan(code, &status)
			forEachProtocol(t, func(t *testing.T, d dialect) {
				got := failure(t.Context(), t, d.provide(t, plainly(status, body)), Request{})
				if got.Verdict != want {
					t.Errorf("%s: got %s (%s), want %s", refusal, got.Verdict, got.Message, want)
				}
			})
		}
	}
}

// plainly answers with a body and leaves it to the client to recognize it.
func plainly(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		switch {
		case strings.HasPrefix(body, "<"):
			w.Header().Set("Content-Type", "text/html")
		case strings.HasPrefix(body, "{"), strings.HasPrefix(body, "["):
			w.Header().Set("Content-Type", "application/json")
		default:
			w.Header().Set("Content-Type", "text/plain")
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// The job's owner can read the reason, in whatever form it arrived.
func TestTheReasonOfARefusalIsKept(t *testing.T) {
	for refusal, want := range map[string]string{
		"400 Failed to deserialize: messages[0]: unknown field `foo`\nat line 7":                           "acme answered 400: Failed to deserialize: messages[0]: unknown field `foo`",
		"403 <!doctype html>\n<html><head><title>Attention Required! |\n Cloudflare</title></head></html>": "acme answered 403: Attention Required! | Cloudflare",
		"502 <html><body><h1>502 Bad&nbsp;Gateway</h1></body></html>":                                      "acme answered 502: 502 Bad Gateway",
		"503 <html>busy</html>": "acme answered 503: busy",
		"500 ":                  "acme answered 500: internal server error",
		`500 {}`:                "acme answered 500: internal server error",
		`400 {"error":{"message":"","type":"invalid_request_error","code":null}}`:                                                              "acme answered 400 (invalid_request_error)",
		`400 {"error":{"message":null,"code":null}}`:                                                                                           "acme answered 400: bad request",
		`400 {"message":{"detail":"no such field"}}`:                                                                                           "acme answered 400: no such field",
		`422 {"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required"}]}`:                                                 "acme answered 422: body.messages: Field required",
		`400 {"title":"Bad Request","status":400,"detail":"the prompt is empty"}`:                                                              "acme answered 400: the prompt is empty",
		`500 {"errors":[{"message":"AiError: no room","code":3040}],"success":false}`:                                                          "acme answered 500: AiError: no room",
		`400 {"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"{\"error\":{\"message\":\"top_k is too large\"}}"}}}`: "acme answered 400: Provider returned error: top_k is too large",
		`400 "no"`: "acme answered 400: no",
	} {
		code, body, _ := strings.Cut(refusal, " ")
		var status int
		fmt.Sscan(code, &status)
		forEachProtocol(t, func(t *testing.T, d dialect) {
			if got := failure(t.Context(), t, d.provide(t, plainly(status, body)), Request{}); got.Message != want {
				t.Errorf("%s:\n got %q\nwant %q", refusal, got.Message, want)
			}
		})
	}
}
