package installation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/webhook/registration"
)

// ErrNotReady is returned by WaitReady when the time is up; the text lists what
// is missing.
var ErrNotReady = errors.New("installation is not ready")

const pollInterval = 500 * time.Millisecond

// Target says what WaitReady looks at.
type Target struct {
	Namespace     string
	Deployments   []string
	DaemonSet     string
	Location      string // "" when none is installed
	WebhookConfig string
	Certificates  []string // of cert-manager; none when that is not the issuer
}

// WaitReady returns when the installation works or ctx ends.
func (i Installer) WaitReady(ctx context.Context, t Target) error {
	var missing []string
	err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(ctx context.Context) (bool, error) {
		now := i.missing(ctx, t)
		if ctx.Err() != nil { // the time is up; what was missing before is the better reason
			return false, ctx.Err()
		}
		if !slices.Equal(now, missing) && len(now) > 0 {
			fmt.Fprintf(i.Out, "waiting: %s\n", strings.Join(now, "; "))
		}
		missing = now
		return len(missing) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("%w: %s", ErrNotReady, strings.Join(missing, "; "))
	}
	return nil
}

// missing lists what is not ready. A cluster that cannot be read is not, either.
func (i Installer) missing(ctx context.Context, t Target) []string {
	s, err := i.observe(ctx, t)
	if err != nil {
		return []string{err.Error()}
	}
	return NotReady(s)
}

func (i Installer) observe(ctx context.Context, t Target) (State, error) {
	s := State{Deployments: map[string]*appsv1.Deployment{}, WantBucket: t.Location != ""}
	for _, name := range t.Deployments {
		d, err := get(ctx, i.Client, t.Namespace, name, &appsv1.Deployment{})
		if err != nil {
			return s, err
		}
		s.Deployments[name] = d
	}
	var err error
	if s.DaemonSet, err = get(ctx, i.Client, t.Namespace, t.DaemonSet, &appsv1.DaemonSet{}); err != nil {
		return s, err
	}
	if t.Location != "" {
		if s.Location, err = get(ctx, i.Client, t.Namespace, t.Location, &velerov1.BackupStorageLocation{}); err != nil {
			return s, err
		}
	}
	s.Certificates = map[string]*certmanagerv1.Certificate{}
	for _, name := range t.Certificates {
		if s.Certificates[name], err = i.certificate(ctx, t.Namespace, name); err != nil {
			return s, err
		}
	}
	if s.WebhooksTrusted, err = i.trusted(ctx, t.WebhookConfig); err != nil {
		return s, err
	}
	pods := &corev1.PodList{}
	if err := i.Client.List(ctx, pods, client.InNamespace(t.Namespace)); err != nil {
		return s, fmt.Errorf("listing pods: %w", err)
	}
	s.Pods = pods.Items
	return s, nil
}

// get returns nil when the object does not exist.
func get[T client.Object](ctx context.Context, c client.Client, ns, name string, obj T) (T, error) {
	var none T
	err := c.Get(ctx, client.ObjectKey{Namespace: ns, Name: name}, obj)
	switch {
	case apierrors.IsNotFound(err):
		return none, nil
	case err != nil:
		return none, fmt.Errorf("getting %s: %w", name, err)
	}
	return obj, nil
}

// trusted says whether both webhook configurations have their authority.
func (i Installer) trusted(ctx context.Context, name string) (bool, error) {
	for _, configuration := range registration.Kinds() {
		found, err := get(ctx, i.Client, "", name, configuration)
		if err != nil {
			return false, err
		}
		if found == nil || slices.ContainsFunc(registration.ClientConfigs(found), trustsNobody) {
			return false, nil
		}
	}
	return true, nil
}

func trustsNobody(c *admissionv1.WebhookClientConfig) bool { return len(c.CABundle) == 0 }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
