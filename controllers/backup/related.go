package backup

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/podkeep/podkeep/internal/itemlog"
)

// maxGets is how many items are read one by one. For more, one list is cheaper.
const maxGets = 64

// needs remembers which cluster-scoped items those in the backup need: the
// definition of a custom resource, the priority class of a pod, the bindings of a
// service account, and the roles that these bind (velero-facts §11.1, §11.6).
// Volumes of claims have a step of their own (claims.go).
type needs struct {
	names    map[schema.GroupResource]sets.Set[string]
	accounts sets.Set[string] // namespace/name
}

func newNeeds() *needs {
	return &needs{names: map[schema.GroupResource]sets.Set[string]{}, accounts: sets.New[string]()}
}

// note looks at an item that is written.
func (n *needs) note(res resource, u *unstructured.Unstructured) {
	switch gr := res.GroupResource(); {
	case gr == podsResource.GroupResource():
		class, _, _ := unstructured.NestedString(u.Object, "spec", "priorityClassName")
		n.add(priorityClasses, class)
	case gr == serviceAccounts:
		n.accounts.Insert(layoutName(u))
	case gr == roleBindings && n.bindsAccount(u):
		if kind, _, _ := unstructured.NestedString(u.Object, "roleRef", "kind"); kind == "ClusterRole" {
			role, _, _ := unstructured.NestedString(u.Object, "roleRef", "name")
			n.add(roles, role)
		}
	case mayBeCustom(gr):
		n.add(definitions, gr.String())
	}
}

func (n *needs) add(gr schema.GroupResource, name string) {
	if name == "" {
		return
	}
	if n.names[gr] == nil {
		n.names[gr] = sets.New[string]()
	}
	n.names[gr].Insert(name)
}

// builtInGroups have a dot in their name, as the groups of custom resources have,
// and are served by the API server itself (k8s.io/kubernetes/pkg/controlplane).
var builtInGroups = sets.New(
	"admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "authentication.k8s.io",
	"authorization.k8s.io", "certificates.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io",
	"flowcontrol.apiserver.k8s.io", "internal.apiserver.k8s.io", "networking.k8s.io", "node.k8s.io",
	"rbac.authorization.k8s.io", "resource.k8s.io", "scheduling.k8s.io", "storage.k8s.io", "storagemigration.k8s.io",
)

// mayBeCustom reports whether a kind may have a definition of its own name.
func mayBeCustom(gr schema.GroupResource) bool {
	return strings.Contains(gr.Group, ".") && !builtInGroups.Has(gr.Group)
}

// needed are the items of one kind that others need.
type needed struct {
	names sets.Set[string]

	// match is nil when nothing of the kind is needed.
	match func(*unstructured.Unstructured) bool

	// byMatchOnly says that names are not known before the items are read.
	byMatchOnly bool
}

func (n *needs) of(gr schema.GroupResource) needed {
	names := n.names[gr]
	switch {
	case gr == roleBindings && len(n.accounts) > 0:
		return needed{match: n.bindsAccount, byMatchOnly: true}
	case len(names) > 0:
		return needed{names: names, match: func(u *unstructured.Unstructured) bool { return names.Has(u.GetName()) }}
	default:
		return needed{}
	}
}

// bindsAccount reports whether a ClusterRoleBinding has a service account of the
// backup among its subjects.
func (n *needs) bindsAccount(u *unstructured.Unstructured) bool {
	if len(n.accounts) == 0 {
		return false
	}
	binding := &rbacv1.ClusterRoleBinding{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, binding); err != nil {
		return false
	}
	return slices.ContainsFunc(binding.Subjects, func(s rbacv1.Subject) bool {
		return s.Kind == rbacv1.ServiceAccountKind && n.accounts.Has(s.Namespace+"/"+s.Name)
	})
}

// collectNeeded writes the items of a kind that others need, and no others.
func (c *collector) collectNeeded(ctx context.Context, res resource, n needed) error {
	if n.match == nil {
		return nil
	}
	if verdict := c.filter.Related(res.forFilter()); !verdict.Included {
		c.log.Info("Skipping items that others need", "resource", res.GroupResource(), "reason", verdict.Reason)
		return nil
	}
	if n.byMatchOnly || n.names.Len() > maxGets {
		return c.listIn(ctx, query{res: res}, func(u *unstructured.Unstructured) error {
			if !n.match(u) {
				return nil
			}
			return c.addItem(ctx, res, u)
		})
	}
	for _, name := range sets.List(n.names) {
		if err := c.getNeeded(ctx, res, name); err != nil {
			return err
		}
	}
	return nil
}

// getNeeded reads one item. One that does not exist is needed by something that
// does without it, or, for a definition, by a kind that has none.
func (c *collector) getNeeded(ctx context.Context, res resource, name string) error {
	u, err := c.lister.get(ctx, res, "", name)
	switch {
	case err == nil:
		return c.addItem(ctx, res, u)
	case ctx.Err() != nil:
		return err
	case apierrors.IsNotFound(err):
		c.log.Info("Skipping item that does not exist", "resource", res.GroupResource(), "name", name)
		return nil
	default:
		c.log.Error(itemlog.Entry{
			Cluster: true, Resource: res.GroupResource().String(), Name: name,
			Message: "Reading an item that others need failed; it is not in the backup", Err: err,
		})
		return nil
	}
}

// podOf reads a pod item.
func podOf(u *unstructured.Unstructured) (*corev1.Pod, error) {
	pod := &corev1.Pod{}
	return pod, runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, pod)
}
