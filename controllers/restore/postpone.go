package restore

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/itemlog"
	"github.com/podkeep/podkeep/internal/outcome"
)

// postponement is an item that the next pass tries again.
type postponement struct {
	reason string
	entry  itemlog.Entry
}

// postpone leaves an item to the next pass and reports whether it did. Once the
// time for that is over, the item is an error.
func (p *pass) postpone(reason string, e itemlog.Entry) bool {
	patience := p.Options.TerminatingTimeout
	impatient := reason != velerov1.ReasonWebhookUnavailable && !p.now.Before(p.restore.Status.StartTimestamp.Add(patience))
	if p.lastTry || impatient {
		p.log.Error(e)
		return false
	}
	p.log.Info("Trying again later", "item", e.Namespace+"/"+e.Name, "reason", reason, "error", e.Err)
	p.postponed = append(p.postponed, postponement{reason: reason, entry: e})
	return true
}

// Bounds of the time between two passes.
const (
	minPassInterval = 2 * time.Second
	maxPassInterval = time.Minute
)

// wait returns an error of class Wait when items are postponed. The time until
// the next pass grows with the age of the restore, which survives a restart.
func (p *pass) wait() error {
	if len(p.postponed) == 0 {
		return nil
	}
	first := slices.MinFunc(p.postponed, func(a, b postponement) int {
		return cmp.Or(cmp.Compare(a.reason, b.reason), cmp.Compare(nameOf(a.entry), nameOf(b.entry)))
	})
	var names []string
	for _, other := range p.postponed {
		if other.reason == first.reason {
			names = append(names, nameOf(other.entry))
		}
	}
	slices.Sort(names)
	if more := len(names) - maxNamedVolumes; more > 0 {
		names = append(names[:maxNamedVolumes], fmt.Sprintf("and %d more", more))
	}
	age := p.now.Sub(p.restore.Status.StartTimestamp.Time)
	return outcome.Waitf(first.reason, min(max(age/4, minPassInterval), maxPassInterval),
		"trying again: %s: %w", strings.Join(names, ", "), first.entry.Err)
}

func nameOf(e itemlog.Entry) string {
	return strings.TrimSpace(e.Resource + " " + strings.TrimPrefix(e.Namespace+"/"+e.Name, "/"))
}

func compareNames(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// ownWebhooks is in the name of every webhook of podkeep.
const ownWebhooks = "podkeep.io"

// isWebhookUnavailable reports whether a webhook did not answer, or podkeep's own
// refused: it does so while it does not know the restore yet. The texts are those
// of k8s.io/apiserver, pkg/admission/plugin/webhook.
func isWebhookUnavailable(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	if strings.Contains(text, "failed calling webhook") || strings.Contains(text, "failed to call webhook") {
		return true
	}
	return strings.Contains(text, "admission webhook") && strings.Contains(text, ownWebhooks) && strings.Contains(text, "denied the request")
}

// isTransient reports whether the API server could not answer.
func isTransient(err error) bool {
	if utilnet.IsConnectionRefused(err) || utilnet.IsConnectionReset(err) || utilnet.IsTimeout(err) {
		return true
	}
	status := apierrors.APIStatus(nil)
	if !errors.As(err, &status) {
		return false
	}
	switch status.Status().Code {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusBadGateway:
		return true
	default:
		return apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err)
	}
}

// postponeReason returns why creating an item is tried again, or "" when that
// would not help.
func postponeReason(err error, isPod bool) string {
	switch {
	case isPod && isWebhookUnavailable(err):
		return velerov1.ReasonWebhookUnavailable
	case isTransient(err):
		return velerov1.ReasonRetrying
	default:
		return ""
	}
}
