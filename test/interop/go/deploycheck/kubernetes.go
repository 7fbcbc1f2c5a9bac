package main

import (
	"context"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	"k8s.io/kubernetes/pkg/registry/apps/statefulset"
	"k8s.io/kubernetes/pkg/registry/core/configmap"
	"k8s.io/kubernetes/pkg/registry/core/namespace"
	"k8s.io/kubernetes/pkg/registry/core/service"
	"k8s.io/kubernetes/pkg/registry/core/serviceaccount"
	"k8s.io/kubernetes/pkg/registry/networking/networkpolicy"
	"k8s.io/kubernetes/pkg/registry/policy/poddisruptionbudget"
	podsecurity "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// What the API server does with an object that is to be created, by its kind.
var strategies = map[schema.GroupKind]rest.RESTCreateStrategy{
	{Kind: "ConfigMap"}:                                 configmap.Strategy,
	{Kind: "Namespace"}:                                 namespace.Strategy,
	{Kind: "Service"}:                                   service.Strategy,
	{Kind: "ServiceAccount"}:                            serviceaccount.Strategy,
	{Group: "apps", Kind: "StatefulSet"}:                statefulset.Strategy,
	{Group: "networking.k8s.io", Kind: "NetworkPolicy"}: networkpolicy.Strategy,
	{Group: "policy", Kind: "PodDisruptionBudget"}:      poddisruptionbudget.Strategy,
}

// checkKubernetes builds a kustomization and creates each of its objects as the API server would, up to storing it.
func checkKubernetes(directories []string) []error {
	var faults []error
	for _, directory := range directories {
		built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), directory)
		if err != nil {
			return []error{err}
		}
		for _, resource := range built.Resources() {
			text, err := resource.MarshalJSON()
			if err != nil {
				return []error{err}
			}
			fmt.Println(string(text))
			if err := create(text); err != nil {
				faults = append(faults, fmt.Errorf("%s: %s %s: %w", directory, resource.GetKind(), resource.GetName(), err))
			}
		}
	}
	return faults
}

func create(text []byte) error {
	// Strict: a field that does not exist is an error, as it is to `kubectl apply` with its default --validate=true.
	strict := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict)
	object, kind, err := strict.UniversalDeserializer().Decode(text, nil, nil)
	if err != nil {
		return err
	}
	strategy, known := strategies[kind.GroupKind()]
	if !known {
		return fmt.Errorf("no strategy for %s", kind)
	}
	if set, is := object.(*appsv1.StatefulSet); is {
		if err := admit(set); err != nil {
			return err
		}
	}
	legacyscheme.Scheme.Default(object)
	internal, err := legacyscheme.Scheme.ConvertToVersion(object, schema.GroupVersion{Group: kind.Group, Version: runtime.APIVersionInternal})
	if err != nil {
		return err
	}
	var meta metav1.PartialObjectMetadata
	if err := json.Unmarshal(text, &meta); err != nil {
		return err
	}
	accessor, err := apimeta.Accessor(internal)
	if err != nil {
		return err
	}
	rest.FillObjectMetaSystemFields(accessor)
	// The allocator of addresses, which is part of the storage, writes this first.
	if service, is := internal.(*core.Service); is && service.Spec.ClusterIP != "" {
		service.Spec.ClusterIPs = []string{service.Spec.ClusterIP}
	}
	ctx := request.WithNamespace(context.Background(), meta.Namespace)
	ctx = request.WithRequestInfo(ctx, &request.RequestInfo{APIGroup: kind.Group, APIVersion: kind.Version})
	return rest.BeforeCreate(strategy, ctx, internal)
}

// admit holds pods to the profile `restricted`, as the admission of a namespace that enforces it does.
func admit(set *appsv1.StatefulSet) error {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return err
	}
	level := podsecurity.LevelVersion{Level: podsecurity.LevelRestricted, Version: podsecurity.LatestVersion()}
	template := &set.Spec.Template
	result := policy.AggregateCheckResults(evaluator.EvaluatePod(level, &template.ObjectMeta, &template.Spec))
	if !result.Allowed {
		return fmt.Errorf("pod security: %s: %s", result.ForbiddenReason(), result.ForbiddenDetail())
	}
	return nil
}
