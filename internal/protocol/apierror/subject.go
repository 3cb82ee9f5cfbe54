package apierror

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// normalize returns the form in which a word is looked up: makers write the same as
// insufficient_balance, INSUFFICIENT_BALANCE, InsufficientBalance or "Insufficient
// Balance".
func normalize(word string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, word)
}

// statusOfName is the HTTP status that an error's name means. Within a stream it follows
// the status 200 and is often all there is.
var statusOfName = map[string]int{
	"invalidrequesterror":   http.StatusBadRequest,
	"badrequesterror":       http.StatusBadRequest, // vLLM
	"invalidargument":       http.StatusBadRequest, // Google's, as those below
	"failedprecondition":    http.StatusBadRequest,
	"invalidapikey":         http.StatusUnauthorized,
	"authenticationerror":   http.StatusUnauthorized,
	"unauthenticated":       http.StatusUnauthorized,
	"billingerror":          http.StatusPaymentRequired,
	"permissionerror":       http.StatusForbidden,
	"permissiondenied":      http.StatusForbidden,
	"notfounderror":         http.StatusNotFound,
	"notfound":              http.StatusNotFound,
	"conflicterror":         http.StatusConflict,
	"requesttoolarge":       http.StatusRequestEntityTooLarge,
	"ratelimitexceeded":     http.StatusTooManyRequests,
	"ratelimiterror":        http.StatusTooManyRequests,
	"ratelimitreached":      http.StatusTooManyRequests,
	"resourceexhausted":     http.StatusTooManyRequests,
	"throttling":            http.StatusTooManyRequests,
	"throttlingexception":   http.StatusTooManyRequests,
	"throttlingratequota":   http.StatusTooManyRequests, // DashScope
	"throttlingburstrate":   http.StatusTooManyRequests,
	"limitrequests":         http.StatusTooManyRequests,
	"requests":              http.StatusTooManyRequests, // the type names the limit
	"tokens":                http.StatusTooManyRequests,
	"toomanyrequests":       http.StatusTooManyRequests,
	"1302":                  http.StatusTooManyRequests, // Zhipu
	"1303":                  http.StatusTooManyRequests,
	"1304":                  http.StatusTooManyRequests,
	"1305":                  http.StatusTooManyRequests,
	"1308":                  http.StatusTooManyRequests,
	"1310":                  http.StatusTooManyRequests,
	"servererror":           http.StatusInternalServerError,
	"apierror":              http.StatusInternalServerError,
	"internalservererror":   http.StatusInternalServerError,
	"internal":              http.StatusInternalServerError,
	"unavailable":           http.StatusServiceUnavailable,
	"timeout":               http.StatusGatewayTimeout,
	"timeouterror":          http.StatusGatewayTimeout,
	"deadlineexceeded":      http.StatusGatewayTimeout,
	"overloaded":            StatusOverloaded,
	"overloadederror":       StatusOverloaded,
	"engineoverloaded":      StatusOverloaded,
	"engineoverloadederror": StatusOverloaded, // Moonshot
	"serveroverloaded":      StatusOverloaded, // Volcengine
	"unavailableerror":      StatusOverloaded, // llama.cpp, while it loads the model
	"1312":                  StatusOverloaded, // Zhipu
}

// subjects are the names of errors that say clearly what they are about, whatever their
// status.
var subjects = map[Subject][]string{
	AboutAccount: {
		// Credit.
		"insufficientquota", "insufficientbalance", "insufficientcredit", "insufficientcredits", "insufficientfunds",
		"insufficientuserquota", "insufficientaccountbalance", "insufficientaccountquota", "pretokenquotafailed",
		"preconsumetokenquotafailed", "exceededcurrentquotaerror", "billingerror", "billingdisabled", "billinghardlimitreached",
		"billinglimitreached", "billingnotactive", "paymentrequired", "arrearage", "accountarrearage", "accountoverdue", "accountoverdueerror",
		"overdue", "overduepayment", "balancenotenough", "creditlimitexceeded", "creditsexhausted", "outofcredits", "nocredits", "notenoughcredits",
		"spendlimitexceeded", "spendinglimitexceeded", "enforcedspendlimitreached", "monthlyspendinglimitexceeded", "budgetexceeded",
		"keylimitexceeded", "apikeylimitexceeded", "projectbudgetexceeded", "blockedapiaccess", // Groq, at the spend limit
		"resourcepackexhausted", "freeresourcepackexhausted", "servicenotactivated", // Tencent
		"1113", "1309", // Zhipu
		// The account itself.
		"accountdeactivated", "accountsuspended", "accountdisabled", "accountlocked", "invalidaccountstatus", "userdeactivated",
		"organizationrestricted", "organizationdeactivated", "organizationdisabled", "consumersuspended", "consumerinvalid", "servicedisabled",
		"1110", "1111", "1112", "1120", "1121", // Zhipu
		// The key.
		"invalidapikey", "apikeyinvalid", "apikeyexpired", "expiredapikey", "incorrectapikey", "incorrectapikeyerror", "missingapikey",
		"apikeyserviceblocked", "apikeyipaddressblocked", "apikeyhttpreferrerblocked", "authenticationerror", "autherror",
		"invalidauthenticationerror", "invalidauthentication", "unauthenticated", "unrecognizedclientexception", "expiredtokenexception",
		"invalidsignatureexception",
	},
	AboutModel: {
		"modelnotfound", "modelnotavailable", "modelnotexist", "modelnotsupported", "invalidmodel", "unknownmodel", "unavailablemodel", "unsupportedmodel",
		"deploymentnotfound", "modeldecommissioned", "modeldeprecated", "modeltermsrequired", "modelpermissionblockedproject",
		"modelpermissionblockedorg", "modelnotopen", "modelnotactivated", "modelaccessdenied", "unpurchased", "freetieronly", "invalidendpointormodelnotfound",
		"1211", "1311", // Zhipu
	},
	AboutRequest: {
		"contextlengthexceeded", "exceedcontextsizeerror", "stringabovemaxlength", "invalidprompt", "promptblocked",
		"contentfilter", "contentfiltererror", "contentpolicyviolation", "contentmoderation", "contentblocked", "contentviolation", "responsibleaipolicyviolation",
		"datainspectionfailed", "moderationblocked", "moderationerror", "moderation", "sensitivewordsdetected", "sensitivecontentdetected",
		"inputtextsensitivecontentdetected", "outputtextsensitivecontentdetected", "inputimagesensitivecontentdetected", "safetyerror",
		"1261", "1301", // Zhipu
	},
}

var subjectOf = func() map[string]Subject {
	of := make(map[string]Subject)
	for subject, words := range subjects {
		for _, word := range words {
			of[word] = subject
		}
	}
	return of
}()

// miniMaxCodes are the codes of base_resp.
var miniMaxCodes = map[int64]struct {
	status  int
	subject Subject
}{
	1001: {status: http.StatusGatewayTimeout},
	1002: {status: http.StatusTooManyRequests},
	1004: {http.StatusUnauthorized, AboutAccount},
	1008: {http.StatusPaymentRequired, AboutAccount},
	1026: {http.StatusBadRequest, AboutRequest}, // the request is sensitive
	1027: {http.StatusBadRequest, AboutRequest}, // the answer would be
	1039: {status: http.StatusTooManyRequests},
	1041: {status: http.StatusTooManyRequests},
	1042: {http.StatusBadRequest, AboutRequest},
	2013: {http.StatusBadRequest, AboutRequest},
	2045: {status: http.StatusTooManyRequests},
	2049: {http.StatusUnauthorized, AboutAccount},
	2056: {status: http.StatusTooManyRequests},
	2061: {http.StatusNotFound, AboutModel},
}

// The subjects of messages, matched at their beginning: later parts may quote the request,
// whose author must not be able to hold the key for everybody.
var (
	saysAccount = regexp.MustCompile(`(?i)^(?:` + strings.Join([]string{
		`(?:sorry, )?(?:you have |your |the )?(?:account |current |api key |user |team )*(?:has )?insufficient (?:account )?(?:balance|credit|fund|quota|user quota)`,
		`(?:sorry, )?(?:your |the )?(?:account |current |credit |user )*balance (?:is )?(?:too low|not enough|insufficient|exhausted|negative)`,
		`(?:your |the )?(?:prepaid |prepayment |free )?(?:credit|credits|credit limit) (?:is |are |has been |have been |was )?(?:exceeded|depleted|exhausted|used up|expired)`,
		`(?:you |your team |your account |your organization |team |account |organization )[^.:]{0,80}(?:run out of|out of|used all(?: of)?|exceeded|exhausted|reached|no) (?:your |its |the |available |monthly |included |remaining )*(?:credit|spending limit|spend limit|budget)`,
		`you have reached your specified`,
		`(?:not enough|no|out of|insufficient) credits?\b`,
		`this request requires more credits`,
		`(?:your |the |this )?account '?[^ .:]{0,80}'? ?(?:is|has been) (?:suspended|deactivated|disabled|overdue|in arrears|blocked|not active)`,
		`your account is (?:suspended|deactivated|disabled|overdue|in arrears|blocked|not active)`,
		`(?:this |your |the )?organi[sz]ation has been (?:disabled|restricted|deactivated|suspended)`,
		`access denied, please make sure your account is in good standing`,
		`(?:the )?billing (?:hard limit has been reached|is not enabled|has not been enabled)`,
		`(?:key|api key|monthly|spending|spend) limit (?:has been )?(?:exceeded|reached)`,
		`budget has been exceeded|exceededbudget`,
		`payment required`,
		`(?:the |your |this )*(?:api[ -]?key|x-api-key|(?:access|auth|bearer|api) token)[^.:]{0,40}(?:is |was |has )?(?:not valid|invalid|incorrect|expired|not found|revoked|disabled)`,
		`(?:invalid|incorrect|expired|missing|wrong|unknown|no) (?:api[ -]?key|x-api-key|access token|authentication|credentials?)\b`,
		`the security token included in the request is`,
		`用户额度不足|余额不足|账户余额不足|您的账户已欠费|账户已欠费|账号已欠费|欠费|令牌额度|该令牌额度`,
	}, "|") + `)`)

	saysModel = regexp.MustCompile(`(?i)^(?:` + strings.Join([]string{
		`(?:sorry, )?(?:the |this |that |requested |selected )*models?\b.{0,120}?(?:\bnot exist|doesn't exist|not found|is not available|is not a valid model|has been (?:deprecated|retired|decommissioned|removed|shut down)|is blocked at the|is not accessible)`,
		`(?:the |this )?model (?:is |has been )?disabled`,
		`(?:invalid|unknown|unsupported) model\b`,
		`no (?:such model|access to model|endpoints found|available channel for model)`,
		`\S{1,120} is not a valid model`,
	}, "|") + `)`)

	// forbiddenModel matches a missing permission for one model. It may be anywhere in the
	// message: it only holds the request.
	forbiddenModel = regexp.MustCompile(`(?i)(?:access|permissions?|permitted|allowed|authori[sz]ed|entitled|eligible|enabled|subscribed|verified)\b[^.]{0,60}\b(?:models?\b(?:[^.\w]|\.?\s|\.?$)|foundation model)` +
		`|denied on resource '[^']*/(?:models|endpoints)/`)

	saysRequest = regexp.MustCompile(`(?i)^(?:` + strings.Join([]string{
		`(?:sorry, )?(?:the |this |your |an? )*(?:request|prompt|input|output|content|response|message|text)s?\b[^:]{0,60}(?:blocked|flagged|moderat|filtered|violat|inappropriate|high risk|rejected (?:by|as a result of) (?:the |our )?(?:content|safety|moderation))`,
		`(?:content exists risk|sorry, you have been blocked|attention required|access denied \||request blocked|error code: 10\d\d)`,
		`\S{1,120} requires moderation`,
	}, "|") + `)`)

	// limitedNow matches messages about a limit that is reached, where no status shows it.
	limitedNow = regexp.MustCompile(`(?i)^(?:.{0,40}\b(?:rate|request|requests|qps|qpm|rpm|tpm|concurrency) ?limit (?:is |has been |was )?(?:reached|exceeded|hit)|too many requests\b|rate[ -]limited\b)`)

	// overloadedNow matches messages about a model without capacity.
	overloadedNow = regexp.MustCompile(`(?i)^(?:the engine|the server|the model|that model|this model) is (?:currently )?(?:overloaded|experiencing high demand)`)
)

// findSubject determines what the error is about: first by its names, then by the beginning
// of its message.
func (c *Error) findSubject(status int, words []string) {
	for _, word := range words {
		for _, name := range []string{word, word[strings.LastIndexAny(word, ".#")+1:]} {
			if subject := subjectOf[normalize(name)]; c.Subject == "" {
				c.Subject = subject
			}
		}
	}
	message := wrapping.ReplaceAllString(c.Message, "")
	limited := slices.Contains([]int{http.StatusTooManyRequests, StatusOverloaded}, status)
	switch {
	case c.Subject != "":
	case saysAccount.MatchString(message):
		c.Subject = AboutAccount
	case strings.HasPrefix(strings.ToLower(message), "request too large for"): // the request alone exceeds a limit per minute
		c.Subject = AboutRequest
	case limited:
	case saysModel.MatchString(message), isPermission(status, c) && forbiddenModel.MatchString(message):
		c.Subject = AboutModel
	case saysRequest.MatchString(message):
		c.Subject = AboutRequest
	}
	switch {
	case c.Subject == AboutModel:
		c.Status = http.StatusNotFound
	case overloadedNow.MatchString(message):
		c.Status = StatusOverloaded
	case c.Subject == "" && c.Status == 0 && limitedNow.MatchString(message):
		c.Status = http.StatusTooManyRequests
	}
	c.NamesModel = strings.Contains(strings.ToLower(message), "model") || normalize(c.Type) == "notfounderror"
}

// isPermission reports whether an error is about something forbidden.
func isPermission(status int, c *Error) bool {
	return status == http.StatusForbidden || status == http.StatusUnauthorized || c.Status == http.StatusForbidden
}

// StatusOverloaded is Anthropic's own; others have adopted it.
const StatusOverloaded = 529
