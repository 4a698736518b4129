package items

import (
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestOrder(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	got := Order(resources("services", "deployments.apps", "clusters.cluster.x-k8s.io", "pods", "configmaps", "secrets",
		"persistentvolumeclaims", "namespaces", "persistentvolumes", "replicasets.apps", "apps.kappctrl.k14s.io",
		"rolebindings.rbac.authorization.k8s.io", "serviceaccounts", "roles.rbac.authorization.k8s.io", "controllerrevisions.apps",
		"limitranges", "zebras.example.com", "customresourcedefinitions.apiextensions.k8s.io", "endpoints", "statefulsets.apps"))

	g.Expect(got).To(Equal(resources(
		"customresourcedefinitions.apiextensions.k8s.io", "namespaces", "persistentvolumes", "persistentvolumeclaims",
		"roles.rbac.authorization.k8s.io", "serviceaccounts", "rolebindings.rbac.authorization.k8s.io", "secrets", "configmaps",
		"limitranges", "pods", "replicasets.apps", "endpoints", "services",
		"controllerrevisions.apps", "deployments.apps", "statefulsets.apps", "zebras.example.com",
		"clusters.cluster.x-k8s.io", "apps.kappctrl.k14s.io",
	)))
}

func TestExcludedResource(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		resource string
		want     Reason
	}{
		"pods are restored":                                 {resource: "pods"},
		"kinds of others are restored":                      {resource: "widgets.example.com"},
		"events tell of another time":                       {resource: "events", want: ReasonNotRestorable},
		"events of the new group too":                       {resource: "events.events.k8s.io", want: ReasonNotRestorable},
		"nodes belong to the cluster":                       {resource: "nodes", want: ReasonNotRestorable},
		"a restored volume restore would be carried out":    {resource: "podvolumerestores.velero.io", want: ReasonNotRestorable},
		"a restored deletion request would delete a backup": {resource: "deletebackuprequests.velero.io", want: ReasonNotRestorable},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			NewWithT(t).Expect(ExcludedResource(schema.ParseGroupResource(tc.resource))).To(Equal(tc.want))
		})
	}
}

func resources(names ...string) []schema.GroupResource {
	var all []schema.GroupResource
	for _, n := range names {
		all = append(all, schema.ParseGroupResource(n))
	}
	return all
}

func TestNamespaces(t *testing.T) {
	t.Parallel()
	n := Namespaces{
		Included: []string{"shop", "team-*", "gone"},
		Excluded: []string{"team-x"},
		Mapping:  map[string]string{"shop": "shop-2", "team-a": "team-b"},
	}
	inBackup := []string{"other", "shop", "team-a", "team-b", "team-x"}
	tests := map[string]struct{ got, want any }{
		"a name is selected":                    {n.Selects("shop"), true},
		"a pattern selects":                     {n.Selects("team-a"), true},
		"exclude beats include":                 {n.Selects("team-x"), false},
		"the rest is not selected":              {n.Selects("other"), false},
		"no list selects all":                   {Namespaces{}.Selects("other"), true},
		"a star selects all":                    {Namespaces{Included: []string{"*"}}.Selects("other"), true},
		"a mapped namespace gets its name":      {n.Target("shop"), "shop-2"},
		"another keeps its name":                {n.Target("other"), "other"},
		"a name that is not there is unmatched": {n.Unmatched(inBackup), []string{"gone"}},
		"a star is never unmatched":             {Namespaces{Included: []string{"*"}}.Unmatched(nil), []string{}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			NewWithT(t).Expect(tc.got).To(Equal(tc.want))
		})
	}
}

func TestCollision(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	n := Namespaces{Mapping: map[string]string{"a": "b"}}

	one, other, collides := n.Collision([]string{"a", "b"})
	_, _, fine := n.Collision([]string{"a", "c"})

	g.Expect(collides).To(BeTrue(), "a becomes b, which is restored too")
	g.Expect([]string{one, other}).To(Equal([]string{"a", "b"}))
	g.Expect(fine).To(BeFalse())
}
