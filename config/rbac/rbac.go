// Package rbac holds the roles of podkeep's components.
//
// The rules are generated from the markers above each reconciler and handler
// (hack/generate.sh) and embedded; this package only gives them the names and
// the namespace of an installation. Who may do what is explained in
// docs/security.md.
package rbac

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/webhook/registration"
)

//go:embed */role.yaml
var roles embed.FS

// Component is a part of podkeep that runs with an identity of its own.
type Component string

// The components. The value is the folder of the component's generated roles.
const (
	Server    Component = "server"
	Webhook   Component = "webhook"
	NodeAgent Component = "nodeagent"
)

// Identity says as whom and where a component runs.
type Identity struct {
	Component      Component
	Namespace      string // install namespace
	ServiceAccount string
}

// name of the identity's roles and bindings. Cluster-wide ones carry the
// namespace, so that two installations never share one.
func (i Identity) name() string { return "podkeep-" + string(i.Component) }

func (i Identity) clusterName() string { return i.name() + "-" + i.Namespace }

// Objects returns the roles of a component and their bindings.
func Objects(id Identity) ([]client.Object, error) {
	file := string(id.Component) + "/role.yaml"
	data, err := roles.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading generated roles: %w", err)
	}
	dec := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	rules := map[string][]rbacv1.PolicyRule{} // by kind
	for {
		var role rbacv1.ClusterRole // a Role has the same fields
		err := dec.Decode(&role)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("decoding %s: %w", file, err)
		}
		rules[role.Kind] = append(rules[role.Kind], renamed(role.Rules, id.Namespace)...)
	}
	var objects []client.Object
	if r := rules["ClusterRole"]; len(r) > 0 {
		objects = append(objects, clusterRole(id, r)...)
	}
	if r := rules["Role"]; len(r) > 0 {
		objects = append(objects, namespacedRole(id, r)...)
	}
	return objects, nil
}

// renamed gives rules that name the configuration of the webhooks that of this
// installation; the markers name the default one.
func renamed(rules []rbacv1.PolicyRule, namespace string) []rbacv1.PolicyRule {
	for _, rule := range rules {
		for i, name := range rule.ResourceNames {
			if name == registration.ConfigurationName(markerNamespace) {
				rule.ResourceNames[i] = registration.ConfigurationName(namespace)
			}
		}
	}
	return rules
}

// markerNamespace is the namespace that the markers are written for.
const markerNamespace = "velero"

func clusterRole(id Identity, rules []rbacv1.PolicyRule) []client.Object {
	return []client.Object{
		&rbacv1.ClusterRole{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"},
			ObjectMeta: metav1.ObjectMeta{Name: id.clusterName()},
			Rules:      rules,
		},
		&rbacv1.ClusterRoleBinding{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRoleBinding"},
			ObjectMeta: metav1.ObjectMeta{Name: id.clusterName()},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: id.clusterName()},
			Subjects:   id.subjects(),
		},
	}
}

func namespacedRole(id Identity, rules []rbacv1.PolicyRule) []client.Object {
	return []client.Object{
		&rbacv1.Role{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "Role"},
			ObjectMeta: metav1.ObjectMeta{Name: id.name(), Namespace: id.Namespace},
			Rules:      rules,
		},
		&rbacv1.RoleBinding{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"},
			ObjectMeta: metav1.ObjectMeta{Name: id.name(), Namespace: id.Namespace},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: id.name()},
			Subjects:   id.subjects(),
		},
	}
}

func (i Identity) subjects() []rbacv1.Subject {
	return []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: i.ServiceAccount, Namespace: i.Namespace}}
}
