package restore

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
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
	if reason == velerov1.ReasonKindNotServed {
		patience = p.Options.ResourceTimeout
	}
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
	names = bounded(names)
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

// isWebhookSilent reports whether a webhook did not answer. The texts are those of
// k8s.io/apiserver, pkg/admission/plugin/webhook.
func isWebhookSilent(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "failed calling webhook") || strings.Contains(err.Error(), "failed to call webhook"))
}

// isGateUnavailable reports whether a pod could not be created for lack of its
// gate: a webhook did not answer, or podkeep's own refused, which it does while it
// does not know the restore yet.
func isGateUnavailable(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	return isWebhookSilent(err) ||
		strings.Contains(text, "admission webhook") && strings.Contains(text, ownWebhooks) && strings.Contains(text, "denied the request")
}

// isTransient reports whether the API server could not answer.
func isTransient(err error) bool {
	if utilnet.IsConnectionRefused(err) || utilnet.IsConnectionReset(err) || utilnet.IsTimeout(err) ||
		utilnet.IsProbableEOF(err) || utilnet.IsHTTP2ConnectionLost(err) {
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
		// The API server passes errors of etcd on as its own (go.etcd.io/etcd, rpctypes).
		return apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsInternalError(err) && strings.Contains(err.Error(), "etcdserver:")
	}
}

// isForbiddenByRoles reports whether the server lacks a right, or the API server
// has not read its roles yet. The text is that of k8s.io/apiserver,
// pkg/endpoints/handlers/responsewriters.
func isForbiddenByRoles(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "cannot create resource")
}

// isPortTaken reports whether a service asks for a node port that is in use, also
// by itself: ports are looked at before names (k8s.io/kubernetes,
// pkg/registry/core/service/portallocator).
func isPortTaken(err error) bool {
	return apierrors.IsInvalid(err) && strings.Contains(err.Error(), "provided port is already allocated")
}

// postponeReason returns why writing an item is tried again, or "" when that would
// not help.
func (p *pass) postponeReason(i item, err error) string {
	gvk := i.prepared.GroupVersionKind()
	unread := existingUnreadError{}
	switch {
	case (apierrors.IsNotFound(err) || meta.IsNoMatchError(err)) && p.defines(gvk):
		return velerov1.ReasonKindNotServed
	case errors.As(err, &unread):
		return velerov1.ReasonRetrying
	case gvk == podKind && isGateUnavailable(err):
		return velerov1.ReasonWebhookUnavailable
	default:
		return postponeReason(err)
	}
}

// postponeReason returns why a request is repeated, whatever it is about, or "". A
// webhook that does not answer may be a restored one whose pods are not there yet.
func postponeReason(err error) string {
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return velerov1.ReasonNamespaceTerminating
	case isTransient(err), isWebhookSilent(err):
		return velerov1.ReasonRetrying
	default:
		return ""
	}
}
