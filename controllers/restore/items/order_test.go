package items

import (
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestOrder(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	got := DefaultPriorities().Order(resources("services", "deployments.apps", "clusters.cluster.x-k8s.io", "pods", "configmaps", "secrets",
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

func TestOrderOfAnInstall(t *testing.T) {
	t.Parallel()
	archived := resources("services.serving.knative.dev", "services", "pods", "apples.example.com", "volumesnapshotclasses.snapshot.storage.k8s.io",
		"roles.example.com", "roles.rbac.authorization.k8s.io", "configmaps", "deployments.apps")
	tests := map[string]struct{ text, first, last string }{
		"a name means the core group first":      {text: "services,-,configmaps", first: "services", last: "configmaps"},
		"then the groups of Kubernetes":          {text: "roles,-,deployments", first: "roles.rbac.authorization.k8s.io", last: "deployments.apps"},
		"a name with its group":                  {text: "services.serving.knative.dev,-,pods", first: "services.serving.knative.dev", last: "pods"},
		"Velero's own list has a singular":       {text: "volumesnapshotclass.snapshot.storage.k8s.io,-,pods", first: "volumesnapshotclasses.snapshot.storage.k8s.io", last: "pods"},
		"what the archive lacks does not matter": {text: "widgets,pods", first: "pods", last: "volumesnapshotclasses.snapshot.storage.k8s.io"},
		"without first ones there are last ones": {text: "-,apples.example.com", first: "configmaps", last: "apples.example.com"},
		"spaces around names do not matter":      {text: " pods , - , services ", first: "pods", last: "services"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			p, err := ParsePriorities(tc.text)
			g.Expect(err).NotTo(HaveOccurred())
			got := p.Order(archived)

			g.Expect(got).To(HaveLen(len(archived)))
			g.Expect(got[0].String()).To(Equal(tc.first))
			g.Expect(got[len(got)-1].String()).To(Equal(tc.last))
		})
	}
}

func TestParsePrioritiesSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":              `invalid value: "": must be names of resources`,
		"pods,,secrets": `invalid value: "": must be names of resources`,
		"Pods":          `invalid value: "Pods"`,
		"a,-,b,-,c":     `must have "-" once at most`,
	} {
		_, err := ParsePriorities(text)
		NewWithT(t).Expect(err).To(MatchError(ContainSubstring(want)), text)
	}
}

func TestPrioritiesHaveATextForm(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	p, err := ParsePriorities(DefaultPriorities().String())

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(p).To(Equal(DefaultPriorities()))
}

func TestNamespaces(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	n := Namespaces{Mapping: map[string]string{"shop": "shop-2"}}

	g.Expect(n.Target("shop")).To(Equal("shop-2"))
	g.Expect(n.Target("other")).To(Equal("other"), "it keeps its name")
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
